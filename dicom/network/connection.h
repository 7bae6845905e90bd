// A TCP connection. Each wait has a deadline and can be cancelled, and while it sends, it notices what the peer
// sends.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <utility>

#include "common/time.h"
#include "common/unique_fd.h"
#include "common/wake_event.h"
#include "dicom/network/association.h"

namespace dicom_sender {

enum class ConnectionProblem {
  kTimedOut,
  kCancelled,
  kAborted,
  kLost,
  kProtocolError,
  kFileChanged,
  kFileUnreadable
};

struct ConnectionFailure {
  ConnectionProblem problem = ConnectionProblem::kLost;
  std::string reason;
};

inline tl::unexpected<ConnectionFailure> ProtocolError(const std::string& reason) {
  return tl::unexpected(ConnectionFailure{ConnectionProblem::kProtocolError, "protocol error: " + reason});
}

// A whole PDU; `body` is valid until the next call to the connection.
struct ReceivedPdu {
  PduType type = PduType::kAbort;
  ByteView body;
};

template <typename T>
using ConnectionResult = tl::expected<T, ConnectionFailure>;

// One thread at a time.
class Connection {
 public:
  // Looks up the host and tries all of its addresses within `timeout`. Waits are counted in `progress`.
  static tl::expected<Connection, AssociationFailure> Connect(const std::string& host, std::uint16_t port,
                                                              Duration timeout, SendingProgress& progress,
                                                              const WakeEvent* cancel);

  // Sends everything. `idle` is how long it may wait without progress. `more` says that something follows at once, so
  // that the kernel may hold the bytes back. An A-ABORT that arrives meanwhile is a failure; a P-DATA-TF is kept for
  // Receive.
  ConnectionResult<void> Send(ByteView bytes, bool more, Duration idle);
  // Returns how much was sent, at least 1 byte and at most `size`.
  ConnectionResult<std::size_t> SendFile(int fd, std::uint64_t offset, std::size_t size, Duration idle);

  // Whether Receive returns without waiting.
  bool HasPdu() const;
  // Takes in what has arrived, so that Receive returns it even after Close.
  void TakeArrived();
  // Discards the received bytes.
  void ForgetArrived() { received_begin_ = received_end_ = 0; }
  // Returns the next PDU. An A-ABORT is a failure. The wait ends after `timeout`, even if single bytes keep arriving.
  ConnectionResult<ReceivedPdu> Receive(Duration timeout);
  // Takes in what has arrived while nothing was expected. An A-ABORT, the end of the connection and every PDU but
  // P-DATA-TF are failures.
  ConnectionResult<void> CheckQuiet();
  // Whether a PDU, or a part of one, has been taken in.
  bool HasUnread() const { return received_begin_ != received_end_; }

  bool is_open() const { return fd_.valid(); }
  // Sets the largest variable part of a P-DATA-TF that is accepted.
  void set_receive_max(std::uint32_t bytes) { receive_max_bytes_ = bytes; }
  void Close() { fd_.reset(); }
  void Reset();                           // the peer sees a reset, so it cannot mistake the sent data for complete
  void TrySend(ByteView bytes) noexcept;  // without waiting, for an A-ABORT on the way out

 private:
  Connection(UniqueFd fd, SendingProgress& progress, const WakeEvent* cancel)
      : fd_(std::move(fd)), progress_(&progress), cancel_(cancel) {}

  ConnectionResult<void> WaitToSend(Duration idle);
  ConnectionResult<bool> ReadAvailable();  // true if something has arrived
  ConnectionResult<bool> ReadAll();        // the last result of ReadAvailable
  ConnectionResult<void> ExamineEarly();
  ConnectionFailure SendFailure(int error);
  ConnectionResult<std::optional<ReceivedPdu>> TakePdu();
  ByteView Unread() const { return ByteView(received_).first(received_end_).subspan(received_begin_); }

  UniqueFd fd_;
  SendingProgress* progress_;
  const WakeEvent* cancel_ = nullptr;
  std::uint32_t receive_max_bytes_ = kDataPduBytesMax;
  Bytes received_;  // [begin, end) has been received and not yet taken
  std::size_t received_begin_ = 0;
  std::size_t received_end_ = 0;
};

}  // namespace dicom_sender
