// A Storage SCP for tests and benchmarks whose behavior, good or bad, can be scripted exactly.
//
// It uses one thread per association and treats a dataset as mere bytes. DestinationBehaviour describes all unusual
// behavior and may be changed at any time.
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
  kAnswer,             // with the rule's status
  kStall,              // never respond, but keep reading
  kStallReceiving,     // read the command, then stop reading
  kAbortInDataset,     // A-ABORT after the first P-DATA PDU with bytes of the dataset
  kAbortAfterDataset,  // A-ABORT instead of the response
  kDropInDataset,      // TCP reset at the same points
  kDropAfterDataset,
  kAnswerGarbage,         // bytes that are not a PDU
  kAnswerNextToo,         // the rule's status, and at once a response for the next message id, which was not sent yet
  kAnswerWrongMessageId,  // a response to a message that was never sent
};

// What to do with which instances. Empty or zero selectors match everything; all others must match.
struct InstanceRule {
  std::string sop_instance_uid{};
  std::uint64_t nth = 0;                 // the nth C-STORE since construction, from 1
  std::uint64_t nth_of_association = 0;  // the nth C-STORE of its association, from 1
  std::uint64_t times = 0;               // only for this many matches
  std::uint64_t times_each = 0;          // only for this many C-STOREs of each SOP Instance UID

  InstanceAction action = InstanceAction::kAnswer;
  std::uint16_t status = 0x0000;
  std::string error_comment{};
  std::chrono::milliseconds delay{0};  // from the end of the dataset to the response
  // Complete PDUs to send instead of a well-formed response with the rule's status; not in scripts.
  std::function<std::vector<std::uint8_t>(std::uint8_t context_id, std::uint16_t message_id)> raw_answer{};
};

// The reaction to an A-ASSOCIATE-RQ that proposes an asynchronous operations window.
enum class WindowReaction {
  kNone,
  kAbortRequest,     // A-ABORT instead of A-ASSOCIATE-AC
  kDropRequest,      // TCP reset instead of A-ASSOCIATE-AC
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
  // Read for each A-ASSOCIATE-RQ.
  std::optional<Rejection> reject{};
  std::uint64_t reject_times = 0;  // only this many associations; 0: all
  // Rejects the associations for which it returns a value; not in scripts.
  std::function<std::optional<Rejection>(const AssociationRecord& requested)> reject_some{};
  std::string called_ae{};  // rejects all others (permanent, called AE title not recognized); empty: accepts any
  bool stall_association = false;                // never answers an A-ASSOCIATE-RQ
  std::vector<std::string> abstract_syntaxes{};  // accepted ones; empty: any
  std::vector<std::string> transfer_syntaxes{};  // accepted ones, most preferred first; empty: the first proposed one
  std::uint32_t max_pdu_bytes = 131072;          // the announced maximum: 0 (no limit) or 64 ... 1048576
  unsigned associations_max = 0;                 // more are rejected (transient, local limit exceeded); 0: no limit
  // The largest granted asynchronous operations window (PS3.7 D.3.3.3); 1: ignores the proposal.
  std::uint16_t async_window = 1;
  WindowReaction window_reaction = WindowReaction::kNone;
  std::function<void(std::vector<std::uint8_t>& pdu)> edit_accept{};  // changes each A-ASSOCIATE-AC; not in scripts
  // Delays responses until the window is full or the peer is silent for 50 ms, and then sends them in reverse order.
  bool reorder_answers = false;
  int receive_buffer_bytes = 0;  // SO_RCVBUF of new connections; 0: the system's default

  // Read for each C-STORE-RQ: the first matching rule applies; without a match, success at once.
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
  kReleased,       // by the peer, regularly
  kAbortedByPeer,  // A-ABORT received
  kAbortedByUs,    // as scripted, or after a protocol error (see `problem`)
  kDroppedByUs,    // as scripted, or by Stop
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
  std::uint64_t number = 0;  // from 1, in the order of the A-ASSOCIATE-RQs
  WallTime started, ended;
  std::string calling_ae, called_ae;
  std::string address;  // of the peer, numeric
  std::vector<ContextRecord> contexts;
  std::uint16_t async_window = 1;  // the negotiated one
  bool window_proposed = false;
  std::uint64_t instances = 0;  // C-STORE-RQs; updated only at the end and when a stall-receiving begins
  std::uint64_t echoes = 0;
  AssociationEnd end = AssociationEnd::kOpen;
  std::string problem;  // what was wrong with the peer's bytes; empty: nothing
};

struct InstanceRecord {
  std::uint64_t association = 0;
  WallTime received;
  std::string sop_class, sop_instance, transfer_syntax;
  std::uint64_t bytes = 0;                  // received bytes of the dataset
  bool complete = false;                    // the whole dataset was received
  std::optional<std::uint16_t> status;      // nullopt: no well-formed response was sent
  std::optional<std::uint64_t> fnv1a_hash;  // of the dataset, if requested
};

struct DestinationLog {
  std::vector<AssociationRecord> associations;  // by number
  std::vector<InstanceRecord> instances;        // in the order in which they were settled
  std::uint64_t complete_instances = 0;         // instances with a complete dataset; always counted
  std::uint64_t complete_bytes = 0;             // bytes of their datasets
  unsigned open_associations = 0;
  unsigned most_open_associations = 0;  // at the same time
};

struct DestinationOptions {
  std::uint16_t port = 0;      // 0: a free port, kept over Stop and Start
  bool all_addresses = false;  // of this machine; otherwise only 127.0.0.1
  std::string log_file{};      // NDJSON, one line per ended association and per instance; empty: none
  std::string store_folder{};  // complete datasets in files named by their SOP Instance UID; empty: none
  bool hash_datasets = false;
  bool keep_instances = true;  // DestinationLog::instances; switch off for very long benchmarks
};

// Thread-safe.
class TestDestination {
 public:
  // Does not listen yet. Throws std::runtime_error if the log file cannot be opened.
  explicit TestDestination(DestinationOptions options = {}, DestinationBehaviour behaviour = {});
  ~TestDestination();  // calls Stop
  TestDestination(const TestDestination&) = delete;
  TestDestination& operator=(const TestDestination&) = delete;

  // Listens; the error is the operating system's message. Must not be called while it listens.
  tl::expected<void, std::string> Start();
  // Drops all associations and refuses connections until the next Start. Keeps the log.
  void Stop();
  std::uint16_t port() const;  // 0 before the first Start

  void SetBehaviour(DestinationBehaviour behaviour);  // resets the counts of `times`
  DestinationBehaviour Behaviour() const;

  DestinationLog Log() const;
  // Waits until `condition` holds for the log. Returns false if it does not within `timeout`.
  bool WaitFor(const std::function<bool(const DestinationLog&)>& condition, std::chrono::milliseconds timeout) const;

 private:
  class Server;
  std::unique_ptr<Server> server_;
};

// FNV-1a, 64 bits, as in InstanceRecord::fnv1a_hash.
constexpr std::uint64_t kFnv1aStart = 0xCBF29CE484222325U;
std::uint64_t Fnv1a(std::string_view bytes, std::uint64_t hash = kFnv1aStart);

}  // namespace dicom_sender
