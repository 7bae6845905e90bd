// The input and output of Scheduler::Step().
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/time.h"
#include "coordinator/ledger/ledger.h"
#include "coordinator/scheduler/quarantine.h"

namespace dicom_sender {

struct SchedulerOptions {
  // Must be longer than a healthy worker needs to read or to decode one file, because a lease without progress is not
  // renewed. Waiting for the destination is progress: it has its own timeouts.
  Duration lease_ttl = std::chrono::seconds(60);
  Duration grant_resend = std::chrono::seconds(2);       // more than 0
  Duration retry_backoff_min = std::chrono::seconds(1);  // before a second attempt; doubles, with full jitter
  Duration retry_backoff_max = std::chrono::minutes(5);
  Duration breaker_backoff_min = std::chrono::milliseconds(500);  // before the first probe; doubles, with jitter
  Duration breaker_backoff_max = std::chrono::seconds(30);
  Duration slow_down_min = std::chrono::seconds(1);  // between two halvings of a destination's associations
  Duration speed_up = std::chrono::seconds(10);      // between two single steps up again
  std::uint32_t associations_max = 0;                // at the same time to one destination; 0: no limit
  std::uint32_t attempts_max = 0;                    // of one instance, whatever its session allows; 0: no limit
  Duration retry_for_unanswered = std::chrono::seconds(60);  // `retry_for` of sessions that do not set it
  Duration retry_for_answered = std::chrono::hours(6);       // the same, after the destination has answered
  // Another worker may connect at any time, so what a single worker cannot read does not fail at once.
  bool workers_may_come = true;
  // Every new lease has a higher id. A worker may outlive the ledger: what it reports about a lease of a ledger that
  // was removed, or replaced by an older copy, must not be taken for a lease of this one.
  LeaseId leases_above = 0;
  std::uint64_t seed = 0;  // of the jitter
};

// --- what happened

struct SessionOpened {
  SessionKey session = 0;
  std::string destination;  // sessions with an equal one share its breaker
  std::string endpoint;     // resolved address and port, which limits are counted by; empty: the destination's name
  std::string calling_ae;
  bool dispatch_as_found = false;
  bool scan_complete = false;
  std::uint32_t attempts_max = 1;
  std::optional<Duration> retry_for{};  // nullopt: the default
  bool stored_before = false;           // the destination has stored something of it, before it was opened this time
};
struct StudiesFed {
  SessionKey session = 0;
  std::vector<StudyFeed> studies;  // with the instances that are to be sent in addition
};
// A lease that was in force when the last coordinator ended. Comes between SessionOpened and the feed of its session.
struct LeaseRestored {
  SessionKey session = 0;
  StudyKey study = 0;
  LeaseId lease = 0;
  std::string worker;
};
struct ScanCompleted {
  SessionKey session = 0;
};
struct ScanBegun {  // another scan began after an earlier one was complete
  SessionKey session = 0;
};
struct SuspendRequested {
  SessionKey session = 0;
};
struct ContinueRequested {  // revokes a SuspendRequested while leases are still in force
  SessionKey session = 0;
};
struct CancelRequested {  // its leases are revoked
  SessionKey session = 0;
  std::string reason;
};
struct WorkerSeen {  // a WorkerStatus arrived
  std::string worker;
  std::uint64_t incarnation = 0;
  std::uint64_t seq = 0;
  std::uint32_t capacity = 0;
  bool draining = false;
  std::string not_ready = {};  // why it cannot send at the moment; empty if it can
  struct Held {
    LeaseId lease = 0;
    bool progressed = false;
  };
  std::vector<Held> held;
};
// An operator requested it. It applies until the worker restarts, or has been silent for so long that it is
// forgotten.
struct DrainRequested {
  std::string worker;
};
struct OutcomeReported {
  wire::Outcome outcome;
  InstanceFacts facts;  // as the ledger has them
};
struct Reported {  // a Report arrived
  LeaseId lease = 0;
  StudyKey study = 0;
  std::uint32_t suspect_end = 0;   // of the study
  std::uint32_t associations = 0;  // opened under the lease so far
  std::vector<OutcomeReported> outcomes;
  std::optional<wire::GiveBack> give_back;
};
struct Tick {};

using Event = std::variant<SessionOpened, StudiesFed, LeaseRestored, ScanCompleted, ScanBegun, SuspendRequested,
                           ContinueRequested, CancelRequested, WorkerSeen, DrainRequested, Reported, Tick>;

// --- what must be written

struct LeaseGranted {
  StudyKey study = 0;
  LeaseId lease = 0;
  std::string worker;
  std::uint32_t worker_capacity = 0;
};
struct LeaseEnded {
  StudyKey study = 0;
  bool clean = false;
  bool revoked = false;  // because its session ends, such as by a cancellation
};
struct StudyFailed {  // everything that is unsettled in it fails
  StudyKey study = 0;
  std::string reason;
};
struct SessionChanged {
  SessionKey session = 0;
  wire::SessionState state = wire::SESSION_SCANNING;
  std::string reason;  // of an end
};
using LedgerChange = std::variant<InstanceChange, LeaseGranted, LeaseEnded, StudyFailed, SessionChanged>;

// --- what must be sent afterwards

struct GrantReply {
  std::string worker;
  LeaseId lease = 0;
  StudyKey study = 0;
  SessionKey session = 0;
};
struct StatusReply {
  std::string worker;
  std::vector<LeaseId> renewed;
  std::vector<LeaseId> revoked;
  bool drain = false;  // the worker is to stop
};
using Reply = std::variant<GrantReply, StatusReply>;

// A worker fails where others succeed. The caller logs it.
struct QuarantineBegun {
  std::string worker;
  QuarantineView what;
};

struct Output {
  std::vector<LedgerChange> changes;
  std::vector<Reply> replies;
  std::optional<TimePoint> wake_at;   // when Step must be called again at the latest
  std::vector<Duration> queue_waits;  // of the studies that were leased
  std::vector<QuarantineBegun> quarantines;
};

struct SchedulerStats {
  std::uint64_t studies_pending = 0, studies_delayed = 0, studies_leased = 0, studies_done = 0;
  std::uint64_t leases_expired = 0;
  std::uint64_t late_outcomes = 0;  // reported under leases that had ended
  std::uint64_t workers_connected = 0;
  std::uint64_t breakers_open = 0;
  std::uint64_t workers_quarantined = 0;
};

struct WorkerView {
  std::string worker;
  std::uint32_t capacity = 0;  // 0: it has not connected since the coordinator started
  std::uint32_t leases = 0;
  bool draining = false;
  std::string not_ready;                    // why it gets no studies
  Duration last_seen{};                     // time since its last status
  std::vector<QuarantineView> quarantined;  // what it cannot reach or read although others can
};
struct DestinationView {
  std::string destination;
  std::uint32_t leases = 0;
  std::uint64_t ready = 0;             // studies
  std::optional<std::uint32_t> limit;  // of associations now
  bool breaker_open = false;
  std::string trouble;  // as Scheduler::Trouble()
};

// Sessions that end in these states may leave instances unsettled.
constexpr bool EndsBadly(wire::SessionState state) {
  return state == wire::SESSION_UNREACHABLE || state == wire::SESSION_REFUSED || state == wire::SESSION_CANCELLED;
}
}  // namespace dicom_sender
