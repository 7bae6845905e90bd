// The port through which a worker speaks to a destination: one association, C-STORE and C-ECHO on it.
// tcp_association.h has the real one; tests script their own.
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

// All positive; nothing here ever waits without a limit.
struct AssociationTimeouts {
  std::chrono::milliseconds connect = std::chrono::seconds(10);  // TCP, over all addresses of the host together
  std::chrono::milliseconds acse = std::chrono::seconds(30);     // answer to A-ASSOCIATE-RQ and to A-RELEASE-RQ
  std::chrono::milliseconds dimse = std::chrono::seconds(120);   // response to a complete request
  // No progress while sending; with others outstanding at least `dimse`, for the destination may be at them.
  std::chrono::milliseconds idle = std::chrono::seconds(60);
};

struct AssociationRequest {
  std::string host;
  std::uint16_t port = 104;
  std::string called_ae;                  // 1..16 characters
  std::string calling_ae;                 // 1..16 characters
  std::vector<ProposedContext> contexts;  // 1..128, ids 1, 3, 5, ...
  std::uint32_t max_pdu_bytes =
      kPduBytesMax;  // announced; sent where the destination has no limit; see dicom/limits.h
  // How many C-STOREs we would have outstanding (PS3.7 D.3.3.3), 1..kAsyncWindowMax; 1: no window is proposed.
  std::uint16_t async_window = 1;
  AssociationTimeouts timeouts;
};

enum class AssociationFailureKind {
  kInvalidRequest,     // the request breaks its limits
  kResolve,            // the host has no address
  kRefused,            // TCP: nobody listens
  kUnreachable,        // TCP: any other failure to connect
  kTimedOut,           // TCP or A-ASSOCIATE
  kRejectedPermanent,  // A-ASSOCIATE-RJ
  kRejectedTransient,  // A-ASSOCIATE-RJ
  kAborted,            // A-ABORT instead of an answer
  kConnectionLost,     // closed or reset instead of an answer
  kProtocolError,      // the answer is no DICOM, or breaks its rules
  kCancelled,          // the WakeEvent was raised
};

struct AssociationFailure {
  AssociationFailureKind kind = AssociationFailureKind::kConnectionLost;
  bool permanent = false;  // asking again will not help: kInvalidRequest, kRejectedPermanent
  std::string reason;      // one sentence, with no host in it
  bool connected = false;  // the destination took the TCP connection, and has seen what was asked for
  bool explained = false;  // of kRejectedPermanent: it says what is wrong with us, such as an AE title
};

// The dataset of one instance: `size_bytes` from `offset_bytes` of an open regular file, sent byte for byte.
struct DatasetBytes {
  int fd = -1;  // borrowed; its file position is neither used nor moved
  std::uint64_t offset_bytes = 0;
  std::uint64_t size_bytes = 0;  // at least 1
  // Send a zero byte behind an odd number of bytes. PDVs have an even length (PS3.8 annex E); a deflated stream has
  // it by such a byte (PS3.5 A.5), which writers forget.
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
  std::uint16_t status = 0;      // as answered; dicom/dimse_status.h judges it
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

// That an association is alive, to be looked at by other threads: one of these grows all the time. A wait for the
// destination that has a deadline is alive, too; a file or a decoder that hangs is not.
struct SendingProgress {
  std::atomic<std::uint64_t> bytes_sent = 0;  // dataset bytes handed to the kernel
  std::atomic<std::uint64_t> waits = 0;       // for the destination, counted about once a second
  // How long it waited so far, in microseconds: until the destination took more, and for what it had to say.
  std::atomic<std::uint64_t> taking_us = 0, answer_us = 0;
};

// Used by one thread at a time. Another thread ends its waits by raising the WakeEvent it was requested with.
class Association {
 public:
  Association() = default;
  Association(const Association&) = delete;
  Association& operator=(const Association&) = delete;
  virtual ~Association() = default;  // aborts if still usable

  // The destination's answers, those that refuse too, in the order of the request; the unanswered are refused.
  virtual const std::vector<ContextAnswer>& contexts() const = 0;
  virtual std::uint32_t peer_max_pdu_bytes() const = 0;  // as announced; 0: no limit

  // How many C-STOREs may be outstanding: what was asked for and the destination grants, at least 1. One that does
  // not answer the proposal has no window: 1.
  virtual std::uint16_t window() const = 0;
  // Sends one instance; fewer than window() may be outstanding. Returns the message id that its response will have.
  // In a window, small ones may be kept until more follow, Receive has to wait, or Flush.
  virtual tl::expected<std::uint16_t, StoreFailure> Send(const StoreRequest& request) = 0;
  // Before a wait for something else: nothing is kept. A failure is told by the next call.
  virtual void Flush() = 0;
  // Instead: those that are kept will not be sent. Their message ids.
  virtual std::vector<std::uint16_t> Unsend() = 0;
  // Waits for the next response; at least one must be outstanding. They may come in any order. When the association
  // is over, what had arrived before is given out first; then those without a response will have none.
  virtual tl::expected<StoreResponse, StoreFailure> Receive() = 0;
  // The status of a C-ECHO; needs an accepted context of the Verification SOP class.
  virtual tl::expected<std::uint16_t, StoreFailure> Echo(std::uint8_t context_id) = 0;
  // Both end the association, if it still lives, and the connection. Release waits for the answer.
  virtual void Release() = 0;
  virtual void Abort() = 0;
};

}  // namespace dicom_sender
