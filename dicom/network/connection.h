// A TCP connection whose every wait has a deadline and can be cancelled, and that sees what the peer says while it
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
  // The host is looked up and all of its addresses are tried within `timeout`. What is waited for is counted in
  // `progress`.
  static tl::expected<Connection, AssociationFailure> Connect(const std::string& host, std::uint16_t port,
                                                              Duration timeout, SendingProgress& progress,
                                                              const WakeEvent* cancel);

  // Send everything; `idle` is how long it may wait for progress. `more`: hold back, something follows at once. An
  // A-ABORT that comes meanwhile is a failure; a P-DATA-TF stays for Receive.
  ConnectionResult<void> Send(ByteView bytes, bool more, Duration idle);
  // Returns how much was sent, at least 1 byte and at most `size`.
  ConnectionResult<std::size_t> SendFile(int fd, std::uint64_t offset, std::size_t size, Duration idle);

  // Whether Receive would not have to wait.
  bool HasPdu() const;
  // Takes in what has arrived, as far as anybody may speak unasked: Receive can have it after Close.
  void TakeArrived();
  // What was taken in is of no use.
  void ForgetArrived() { received_begin_ = received_end_ = 0; }
  // The next PDU. An A-ABORT is a failure. The wait ends at `timeout` from now however many bytes trickle in.
  ConnectionResult<ReceivedPdu> Receive(Duration timeout);
  // Takes in what has arrived while nothing was expected. An A-ABORT, the end of the connection and every PDU but
  // P-DATA-TF are failures.
  ConnectionResult<void> CheckQuiet();
  // Part of a PDU has been taken in, or a whole one.
  bool HasUnread() const { return received_begin_ != received_end_; }

  bool is_open() const { return fd_.valid(); }
  // Largest variable part of a P-DATA-TF that is received.
  void set_receive_max(std::uint32_t bytes) { receive_max_bytes_ = bytes; }
  void Close() { fd_.reset(); }
  void Reset();                           // the peer sees a reset and never takes what was sent for complete
  void TrySend(ByteView bytes) noexcept;  // without waiting, for an A-ABORT on the way out

 private:
  Connection(UniqueFd fd, SendingProgress& progress, const WakeEvent* cancel)
      : fd_(std::move(fd)), progress_(&progress), cancel_(cancel) {}

  ConnectionResult<void> WaitToSend(Duration idle);
  ConnectionResult<bool> ReadAvailable();  // false: nothing new, true: something
  ConnectionResult<bool> ReadAll();        // the last answer of it
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
