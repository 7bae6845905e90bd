// One association with a destination: the interface that a worker sends C-STORE and C-ECHO through. tcp_association.h
// has the implementation; tests have scripted ones.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "dicom/network/pdu.h"

namespace dicom_sender {

// All must be positive: no call waits without a limit.
struct AssociationTimeouts {
  std::chrono::milliseconds connect = std::chrono::seconds(10);  // TCP, over all addresses of the host together
  std::chrono::milliseconds acse = std::chrono::seconds(30);     // response to A-ASSOCIATE-RQ and to A-RELEASE-RQ
  std::chrono::milliseconds dimse = std::chrono::seconds(120);   // response to a complete request
  // Without progress while sending. At least `dimse` while other requests are outstanding, because the destination
  // may be busy with them.
  std::chrono::milliseconds idle = std::chrono::seconds(60);
};

struct AssociationRequest {
  std::string host;
  std::uint16_t port = 104;
  std::string called_ae;                  // 1..16 characters
  std::string calling_ae;                 // 1..16 characters
  std::vector<ProposedContext> contexts;  // 1..128, ids 1, 3, 5, ...
  std::uint32_t max_pdu_bytes =
      kPduBytesMax;  // announced; also the limit for sending if the destination has none; see dicom/limits.h
  // How many C-STOREs we want to have outstanding (PS3.7 D.3.3.3), 1..kAsyncWindowMax. With 1, no window is proposed.
  std::uint16_t async_window = 1;
  AssociationTimeouts timeouts;
};

enum class AssociationFailureKind {
  kInvalidRequest,     // the request breaks its limits
  kResolve,            // the host has no address
  kRefused,            // TCP: nothing listens on the port
  kUnreachable,        // TCP: any other failure to connect
  kTimedOut,           // TCP or A-ASSOCIATE
  kRejectedPermanent,  // A-ASSOCIATE-RJ
  kRejectedTransient,  // A-ASSOCIATE-RJ
  kAborted,            // A-ABORT instead of an answer
  kConnectionLost,     // closed or reset instead of an answer
  kProtocolError,      // the answer is not DICOM, or violates its rules
  kCancelled,          // the WakeEvent was raised
};

struct AssociationFailure {
  AssociationFailureKind kind = AssociationFailureKind::kConnectionLost;
  bool permanent = false;  // a retry cannot help: kInvalidRequest, kRejectedPermanent
  std::string reason;      // one sentence, with no host in it
  bool connected = false;  // the destination accepted the TCP connection and received the request
  bool explained = false;  // with kRejectedPermanent: the answer says what it rejects, such as an AE title
};

// The dataset of one instance: `size_bytes` from `offset_bytes` of an open regular file, sent byte for byte.
struct DatasetBytes {
  int fd = -1;  // borrowed; its file position is neither used nor moved
  std::uint64_t offset_bytes = 0;
  std::uint64_t size_bytes = 0;  // at least 1
  // Send a zero byte after an odd number of bytes, because PDVs have an even length (PS3.8 annex E). A deflate stream
  // ends with such a byte (PS3.5 A.5), but many writers omit it.
  bool pad_to_even = false;
};

struct StoreRequest {
  std::uint8_t context_id = 0;  // an accepted one
  std::string_view sop_class_uid;
  std::string_view sop_instance_uid;
  DatasetBytes dataset;
};

struct StoreResponse {
  std::uint16_t message_id = 0;  // of the request
  std::uint16_t status = 0;      // as answered; dicom/dimse_status.h says what it means
  std::string error_comment;     // printable ASCII, may be empty
};

enum class StoreFailureKind {
  kInvalidRequest,  // context not accepted, UID too long, no dataset
  kFileChanged,     // shorter than asked for
  kFileUnreadable,
  kAborted,  // by the destination
  kConnectionLost,
  kTimedOut,
  kProtocolError,
  kCancelled,  // the WakeEvent was raised
};

struct StoreFailure {
  StoreFailureKind kind = StoreFailureKind::kConnectionLost;
  bool association_usable = false;  // false: the association is over, the connection closed
  bool instance_touched = false;    // of Send: something of this instance was sent
  std::string reason;
};

// Shows other threads that an association makes progress: one of these numbers keeps growing. That includes a wait
// for the destination, because it has a deadline, but not the time while a file or a decoder hangs.
struct SendingProgress {
  std::atomic<std::uint64_t> bytes_sent = 0;  // dataset bytes handed to the kernel
  std::atomic<std::uint64_t> waits = 0;       // for the destination, counted about once a second
  // The total time in microseconds that senders waited for the destination to receive data, and for its responses.
  std::atomic<std::uint64_t> taking_us = 0, answer_us = 0;
};

// Used by one thread at a time. Another thread ends its waits with the WakeEvent that it was requested with.
class Association {
 public:
  Association() = default;
  Association(const Association&) = delete;
  Association& operator=(const Association&) = delete;
  virtual ~Association() = default;  // aborts if still usable

  // The destination's answers in the order of the request, refusals included. A context without an answer is refused.
  virtual const std::vector<ContextAnswer>& contexts() const = 0;
  virtual std::uint32_t peer_max_pdu_bytes() const = 0;  // as announced; 0: no limit

  // How many C-STOREs may be outstanding: the negotiated window, at least 1. It is 1 if the destination does not
  // answer the proposal.
  virtual std::uint16_t window() const = 0;
  // Sends one instance; fewer than window() may be outstanding. Returns the message id that its response will have.
  // If there is a window, small instances are kept until more follow, Receive has to wait, or Flush is called.
  virtual tl::expected<std::uint16_t, StoreFailure> Send(const StoreRequest& request) = 0;
  // Sends what is kept. Call it before a wait for something else. The next call returns a failure.
  virtual void Flush() = 0;
  // Discards the instances that are kept, and returns their message ids.
  virtual std::vector<std::uint16_t> Unsend() = 0;
  // Waits for the next response; at least one must be outstanding. Responses may come in any order. If the
  // association is over, Receive first returns the responses that arrived before; the other instances will not get
  // one.
  virtual tl::expected<StoreResponse, StoreFailure> Receive() = 0;
  // The status of a C-ECHO; needs an accepted context of the Verification SOP class.
  virtual tl::expected<std::uint16_t, StoreFailure> Echo(std::uint8_t context_id) = 0;
  // Both end the association, if it is not over, and the connection. Release waits for the answer.
  virtual void Release() = 0;
  virtual void Abort() = 0;
};

}  // namespace dicom_sender
