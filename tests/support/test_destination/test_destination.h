// A Storage SCP for tests and benchmarks that does exactly what it is told to, good or bad.
//
// One thread for each association. It understands a dataset only as bytes. Everything that it does out of the
// ordinary is in DestinationBehaviour, which may be changed at any time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace dicom_sender {

enum class InstanceAction {
  kAnswer,             // the rule's status
  kStall,              // never answer, read on
  kStallReceiving,     // read the command, then nothing more
  kAbortInDataset,     // A-ABORT after the first P-DATA PDU that has bytes of the dataset
  kAbortAfterDataset,  // A-ABORT in place of the answer
  kDropInDataset,      // TCP reset, in the same places
  kDropAfterDataset,
  kAnswerGarbage,         // bytes that are no PDU
  kAnswerNextToo,         // the rule's status, and at once for the next message id, which nobody has sent
  kAnswerWrongMessageId,  // a response to a message that was never sent
};

// What to do with which instances. Selectors that are empty or zero select all; the others must all match.
struct InstanceRule {
  std::string sop_instance_uid{};
  std::uint64_t nth = 0;                 // the nth C-STORE since the construction, from 1
  std::uint64_t nth_of_association = 0;  // the nth C-STORE of its association, from 1
  std::uint64_t times = 0;               // the rule is for its first so many matches only
  std::uint64_t times_each = 0;          // only the first so many C-STOREs of each SOP Instance UID

  InstanceAction action = InstanceAction::kAnswer;
  std::uint16_t status = 0x0000;
  std::string error_comment{};
  std::chrono::milliseconds delay{0};  // from the end of the dataset to the answer
  // Whole PDUs to send instead of a well-formed answer with the rule's status; not in scripts.
  std::function<std::vector<std::uint8_t>(std::uint8_t context_id, std::uint16_t message_id)> raw_answer{};
};

// To an A-ASSOCIATE-RQ that proposes an asynchronous operations window.
enum class WindowReaction {
  kNone,
  kAbortRequest,     // A-ABORT instead of the answer
  kDropRequest,      // TCP reset instead of the answer
  kDropAfterAccept,  // closes the connection right after A-ASSOCIATE-AC
  kDropCommand,      // TCP reset at the first command
};

// PS3.8 section 9.3.4.
struct Rejection {
  std::uint8_t result = 1;  // 1 permanent, 2 transient
  std::uint8_t source = 1;
  std::uint8_t reason = 1;
};

constexpr std::uint32_t kMaxPduBytesLeast = 64, kMaxPduBytesMost = 1048576;

struct AssociationRecord;

struct DestinationBehaviour {
  // Read at each A-ASSOCIATE-RQ.
  std::optional<Rejection> reject{};
  std::uint64_t reject_times = 0;  // only the next so many associations; 0: all
  // Rejects those for which it returns something; not in scripts.
  std::function<std::optional<Rejection>(const AssociationRecord& requested)> reject_some{};
  std::string called_ae{};         // rejects every other (permanent, called AE title not recognized); empty: any
  bool stall_association = false;  // never answers A-ASSOCIATE-RQ
  std::vector<std::string> abstract_syntaxes{};  // accepted ones; empty: any
  std::vector<std::string> transfer_syntaxes{};  // accepted ones, our favourite first; empty: the proposed first
  std::uint32_t max_pdu_bytes = 131072;          // what we announce: 0 (no limit) or 64 ... 1048576
  unsigned associations_max = 0;                 // above: rejected, transient, local limit exceeded; 0: no limit
  // The largest asynchronous operations window we grant (PS3.7 D.3.3.3); 1: as if we had never heard of it.
  std::uint16_t async_window = 1;
  WindowReaction window_reaction = WindowReaction::kNone;
  std::function<void(std::vector<std::uint8_t>& pdu)> edit_accept{};  // changes each A-ASSOCIATE-AC; not in scripts
  // Answers wait until the window is full or the peer sends nothing for 50 ms, and go out last first.
  bool reorder_answers = false;
  int receive_buffer_bytes = 0;  // SO_RCVBUF of new connections; 0: the system's choice

  // Read at each C-STORE-RQ: the first rule that matches. None: success at once.
  std::vector<InstanceRule> rules{};
};

// One line each:  `reject result=2 source=3 reason=2 times=3`, `called-ae ARCHIVE`, `stall-association`,
// `abstract-syntax UID`, `transfer-syntax UID`, `max-pdu 16384`, `associations-max 2`, `async-window 16`,
// `window-reaction abort-request|drop-request|drop-after-accept|drop-command`, `reorder-answers`,
// `receive-buffer 4096`, and
// `rule instance=UID nth=5 nth-of-association=2 times=3 times-each=1 action=answer status=A700 delay=200 comment=a_b`
// (actions: answer stall stall-receiving abort-in-dataset abort-after-dataset drop-in-dataset drop-after-dataset
// garbage answer-next wrong-message-id; status in hexadecimal, delay in ms, a comment without blanks). `#` starts a
// comment. The error is a sentence that names the line.
tl::expected<DestinationBehaviour, std::string> ParseBehaviour(std::string_view text);

enum class AssociationEnd {
  kOpen,
  kRejected,       // by us
  kReleased,       // by the peer, in peace
  kAbortedByPeer,  // A-ABORT received
  kAbortedByUs,    // as told, or a protocol error (see `problem`)
  kDroppedByUs,    // as told, or Stop
  kLost,           // the connection ended without release or abort
};
std::string_view ToString(AssociationEnd end);

struct ContextRecord {
  std::uint8_t id = 0;
  std::string abstract_syntax;
  std::vector<std::string> proposed;  // transfer syntaxes
  std::string accepted;               // empty: refused
};

using WallTime = std::chrono::system_clock::time_point;

struct AssociationRecord {
  std::uint64_t number = 0;  // from 1, in the order of their A-ASSOCIATE-RQ
  WallTime started, ended;
  std::string calling_ae, called_ae;
  std::string address;  // of the peer, numeric
  std::vector<ContextRecord> contexts;
  std::uint16_t async_window = 1;  // as negotiated
  bool window_proposed = false;
  std::uint64_t instances = 0;  // C-STORE-RQs; kept up to date only at its end and when a stall-receiving begins
  std::uint64_t echoes = 0;
  AssociationEnd end = AssociationEnd::kOpen;
  std::string problem;  // what was wrong with the peer's bytes; empty: nothing
};

struct InstanceRecord {
  std::uint64_t association = 0;
  WallTime received;
  std::string sop_class, sop_instance, transfer_syntax;
  std::uint64_t bytes = 0;                  // of the dataset, as far as it came
  bool complete = false;                    // the whole dataset came
  std::optional<std::uint16_t> status;      // nullopt: no proper answer was sent
  std::optional<std::uint64_t> fnv1a_hash;  // of the dataset, if asked for
};

struct DestinationLog {
  std::vector<AssociationRecord> associations;  // by number
  std::vector<InstanceRecord> instances;        // in the order in which they were settled
  std::uint64_t complete_instances = 0;         // those whose whole dataset came; counted in any case
  std::uint64_t complete_bytes = 0;             // of their datasets
  unsigned open_associations = 0;
  unsigned most_open_associations = 0;  // at any one time
};

struct DestinationOptions {
  std::uint16_t port = 0;      // 0: a free one, kept over Stop and Start
  bool all_addresses = false;  // of this machine; otherwise 127.0.0.1 only
  std::string log_file{};      // NDJSON, one line for each association that ended and each instance; empty: none
  std::string store_folder{};  // complete datasets as files named by their SOP Instance UID; empty: none
  bool hash_datasets = false;
  bool keep_instances = true;  // DestinationLog::instances; off for very long benchmarks
};

// Thread-safe.
class TestDestination {
 public:
  // Not listening yet. Throws std::runtime_error if the log file cannot be opened.
  explicit TestDestination(DestinationOptions options = {}, DestinationBehaviour behaviour = {});
  ~TestDestination();  // Stop
  TestDestination(const TestDestination&) = delete;
  TestDestination& operator=(const TestDestination&) = delete;

  // Listens; the error is the operating system's word. Not while it already listens.
  tl::expected<void, std::string> Start();
  // Drops all associations and refuses connections until the next Start. The log stays.
  void Stop();
  std::uint16_t port() const;  // 0 before the first Start

  void SetBehaviour(DestinationBehaviour behaviour);  // counts of `times` start again
  DestinationBehaviour Behaviour() const;

  DestinationLog Log() const;
  // Waits until `condition` holds for the log; false if it does not within `timeout`.
  bool WaitFor(const std::function<bool(const DestinationLog&)>& condition, std::chrono::milliseconds timeout) const;

 private:
  class Server;
  std::unique_ptr<Server> server_;
};

// FNV-1a, 64 bits, as in InstanceRecord::fnv1a_hash.
constexpr std::uint64_t kFnv1aStart = 0xCBF29CE484222325U;
std::uint64_t Fnv1a(std::string_view bytes, std::uint64_t hash = kFnv1aStart);

}  // namespace dicom_sender
