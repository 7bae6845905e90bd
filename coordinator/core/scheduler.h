// Decides who sends which study when: dispatch, leases, retries, and what a destination can bear.
//
// Pure: no clock, socket, thread, store or logger. Step() takes what happened and the time, and says what must be
// written to the ledger and then told to the workers. The caller commits the changes before it sends the replies; if
// it cannot, this object is ahead of the ledger and must not be used any more.
//
// Holds live studies only, by key; instances are known to the ledger. Not thread-safe.
#pragma once

#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "common/time.h"
#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

struct SchedulerOptions {
  // Must be longer than a healthy worker needs to read or to decode one file, because a lease without progress is not
  // renewed. Waiting for the destination is progress: it has time-outs of its own.
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
  // Every new lease has a higher id. A worker may outlive the ledger: what it says about a lease of a ledger that was
  // removed, or replaced by an older copy, must not be taken for a lease of this one.
  LeaseId leases_above = 0;
  std::uint64_t seed = 0;  // of the jitter
};

// --- what happened

struct SessionOpened {
  SessionKey session = 0;
  std::string destination;  // sessions with an equal one share its breaker and its limit
  std::string calling_ae;   // whom it refuses, it refuses for all sessions with this name
  bool dispatch_as_found = false;
  bool scan_complete = false;
  std::uint32_t attempts_max = 1;
  Duration retry_for{};
};
struct StudiesFed {
  SessionKey session = 0;
  std::vector<StudyFeed> studies;  // with the instances that are to be sent in addition
};
// In force when the last coordinator ended. Comes between SessionOpened and the feed of its session.
struct LeaseRestored {
  SessionKey session = 0;
  StudyKey study = 0;
  LeaseId lease = 0;
  std::string worker;
};
struct ScanCompleted {
  SessionKey session = 0;
};
struct ScanBegun {  // one more, after an earlier one was complete
  SessionKey session = 0;
};
struct SuspendRequested {
  SessionKey session = 0;
};
struct CancelRequested {  // leases are revoked
  SessionKey session = 0;
  std::string reason;
};
struct WorkerSeen {  // a WorkerStatus
  std::string worker;
  std::uint64_t incarnation = 0;
  std::uint64_t seq = 0;
  std::uint32_t capacity = 0;
  bool draining = false;
  struct Held {
    LeaseId lease = 0;
    bool progressed = false;
  };
  std::vector<Held> held;
};
// By an operator; holds until the worker starts anew, or was silent for so long that it is forgotten.
struct DrainRequested {
  std::string worker;
};
struct OutcomeReported {
  wire::Outcome outcome;
  InstanceFacts facts;  // as the ledger has them
};
struct Reported {  // a Report
  LeaseId lease = 0;
  StudyKey study = 0;
  std::uint32_t suspect_end = 0;  // of the study
  std::vector<OutcomeReported> outcomes;
  std::optional<wire::GiveBack> give_back;
};
struct Tick {};

using Event = std::variant<SessionOpened, StudiesFed, LeaseRestored, ScanCompleted, ScanBegun, SuspendRequested,
                           CancelRequested, WorkerSeen, DrainRequested, Reported, Tick>;

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
};
struct SessionChanged {
  SessionKey session = 0;
  wire::SessionState state = wire::SESSION_SCANNING;
  std::string reason;  // of an end
};
using LedgerChange = std::variant<InstanceChange, LeaseGranted, LeaseEnded, SessionChanged>;

// --- what must be told afterwards

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

struct Output {
  std::vector<LedgerChange> changes;
  std::vector<Reply> replies;
  std::optional<TimePoint> wake_at;   // when Step must be called again at the latest
  std::vector<Duration> queue_waits;  // of the studies that were leased
};

struct SchedulerStats {
  std::uint64_t studies_pending = 0, studies_delayed = 0, studies_leased = 0, studies_done = 0;
  std::uint64_t leases_expired = 0;
  std::uint64_t late_outcomes = 0;  // of leases no longer in force
  std::uint64_t workers_connected = 0;
  std::uint64_t breakers_open = 0;
};

struct WorkerView {
  std::string worker;
  std::uint32_t capacity = 0;  // 0: not heard of since the coordinator started
  std::uint32_t leases = 0;
  bool draining = false;
  Duration last_seen{};  // ago
};
struct DestinationView {
  std::string destination;
  std::uint32_t leases = 0;
  std::uint64_t ready = 0;             // studies
  std::optional<std::uint32_t> limit;  // of associations now
  bool breaker_open = false;
  std::string trouble;  // as Trouble()
};

// These may leave instances unsettled.
constexpr bool EndsBadly(wire::SessionState state) {
  return state == wire::SESSION_UNREACHABLE || state == wire::SESSION_REFUSED || state == wire::SESSION_CANCELLED;
}

class Scheduler {
 public:
  Scheduler(SchedulerOptions options, LeaseId last_lease);

  Output Step(const Event& event, TimePoint now);

  // Of a lease in force: pages of others are not handed out.
  std::optional<StudyKey> StudyOf(LeaseId lease) const;
  std::uint64_t LiveLeases(SessionKey session) const;
  bool IsEnding(SessionKey session) const;  // it grants no more leases
  // What keeps the session's destination waiting, for a person; empty if nothing does.
  std::string Trouble(SessionKey session, TimePoint now) const;
  SchedulerStats Stats() const;
  bool Knows(const std::string& worker) const { return workers_.contains(worker); }
  // A later life of the worker has been heard of: this one is to end.
  bool IsSuperseded(const std::string& worker, std::uint64_t incarnation) const;
  // A later status of the worker has been heard: this one changes nothing.
  bool IsOvertaken(const WorkerSeen& seen) const;
  std::size_t worker_count() const { return workers_.size(); }
  std::vector<WorkerView> Workers(TimePoint now) const;            // by name
  std::vector<DestinationView> Destinations(TimePoint now) const;  // of the open sessions, by name
  Duration lease_ttl() const { return options_.lease_ttl; }

  // Throws std::logic_error with what does not hold. For tests.
  void CheckInvariants() const;
  // The two times that chance decides, while they are waited for: when the study is ready again, and when the
  // destination is tried again. For tests.
  std::optional<TimePoint> BacksOffUntil(StudyKey study) const;
  std::optional<TimePoint> ProbesAt(const std::string& destination) const;

 private:
  // A study is in one place: waiting for its scan, in its destination's ready queue, backing off, or leased.
  enum class Place { kWaiting, kReady, kBackingOff, kLeased };
  struct Study {
    SessionKey session = 0;
    std::uint64_t bytes = 0;      // to send, for the order
    std::uint32_t unsettled = 0;  // instances
    std::uint32_t setbacks = 0;   // how often it was given back because of the destination, or lost without result
    std::uint32_t losses = 0;     // of its leases, in a row and without any result
    Place place = Place::kWaiting;
    TimePoint since;  // in this place; of kBackingOff: until when
  };
  struct Ending {
    wire::SessionState state = wire::SESSION_SUSPENDED;
    std::string reason;
  };
  struct Session {
    std::string destination;
    std::string calling_ae;
    bool dispatch_as_found = false;
    bool scan_complete = false;
    std::uint32_t attempts_max = 1;
    Duration retry_for{};
    TimePoint opened;
    std::uint64_t live_studies = 0;
    std::uint64_t live_leases = 0;
    std::optional<Ending> ending;  // no more grants; it ends when its leases have
  };
  // Largest first: the longest job must not start last. But a study whose association the destination does not take
  // comes behind those that it may take, so that one study cannot use up the patience that is there for all.
  struct ReadyStudy {
    std::uint32_t setbacks = 0;
    std::uint64_t bytes = 0;
    StudyKey study = 0;
    friend bool operator<(const ReadyStudy& a, const ReadyStudy& b) {
      if (a.setbacks != b.setbacks) return a.setbacks < b.setbacks;
      return a.bytes != b.bytes ? a.bytes > b.bytes : a.study < b.study;
    }
  };
  enum class Breaker { kClosed, kOpen, kProbing };
  struct Destination {
    std::set<ReadyStudy> ready;
    std::uint32_t live_leases = 0;
    std::uint32_t served_leases = 0;     // of these, under which it has answered
    std::uint32_t sessions = 0;          // open ones
    std::optional<std::uint32_t> limit;  // of associations, below what the workers offer; nullopt: none
    TimePoint limit_changed;
    Breaker breaker = Breaker::kClosed;
    std::uint32_t failures = 0;  // in a row
    TimePoint retry_at;          // of kOpen
    LeaseId probe = 0;           // of kProbing
    std::string tried_by;        // the worker that could not reach it last
    std::optional<TimePoint> unreachable_since;
    std::string detail;  // of the last failure
  };
  struct Lease {
    StudyKey study = 0;
    std::string worker;
    TimePoint expires_at;
    TimePoint grant_sent;
    bool held = false;       // the worker has said that it holds it
    bool responded = false;  // the destination answered under it
    bool lost_some = false;  // associations, with what was on its way over them
    bool settled_some = false;
    bool revoked = false;
    bool restored = false;             // and not yet listed by its worker
    std::uint32_t worst_attempts = 0;  // of the instances that were delayed under it
  };
  struct Worker {
    std::optional<std::uint64_t> incarnation;  // nullopt: known by name only, from a restored lease
    std::uint64_t seq = 0;                     // of its last status
    std::set<LeaseId> listed;                  // in its last status
    std::uint32_t capacity = 0;
    bool draining = false;
    bool drain_requested = false;
    TimePoint last_seen;
    std::set<LeaseId> leases;  // in force
  };
  // The freest first, equally free ones by name.
  struct FreeWorker {
    std::uint32_t places = 0;
    const std::string* name = nullptr;  // of workers_
    friend bool operator<(const FreeWorker& a, const FreeWorker& b) {
      return a.places != b.places ? a.places > b.places : *a.name < *b.name;
    }
  };

  void On(const SessionOpened& event, TimePoint now, Output& out);
  void On(const StudiesFed& event, TimePoint now, Output& out);
  void On(const LeaseRestored& event, TimePoint now, Output& out);
  void On(const ScanCompleted& event, TimePoint now, Output& out);
  void On(const ScanBegun& event, TimePoint now, Output& out);
  void On(const SuspendRequested& event, TimePoint now, Output& out);
  void On(const CancelRequested& event, TimePoint now, Output& out);
  void On(const WorkerSeen& event, TimePoint now, Output& out);
  void On(const DrainRequested& event, TimePoint now, Output& out);
  void On(const Reported& event, TimePoint now, Output& out);
  void On(const Tick&, TimePoint, Output&) {}

  std::uint32_t AttemptsMax(const SessionOpened& event) const;
  void Feed(SessionKey key, Session& session, const StudyFeed& feed, TimePoint now);
  InstanceChange Judge(const Reported& event, const OutcomeReported& reported, std::uint32_t attempts_max) const;
  void RecordOutcome(const Reported& event, const OutcomeReported& reported, TimePoint now, Output& out);
  void TakeBack(LeaseId lease, const wire::GiveBack& give_back, TimePoint now, Output& out);
  void PlaceAfterLoss(const Lease& lease, TimePoint now);
  void PlaceAfterLease(StudyKey key, std::uint32_t attempts, TimePoint now);

  void EndLease(LeaseId lease, bool clean, Output& out);
  void AddLease(LeaseId id, SessionKey session, Lease lease);
  void SetExpiry(LeaseId id, Lease& lease, TimePoint expires_at);
  void StopResending(LeaseId id, const Lease& lease);
  static std::uint32_t FreePlaces(const Worker& worker);
  template <class Change>
  void ChangeWorker(const std::string& name, Change change);
  void ExpireLeases(TimePoint now, Output& out);
  void ForgetSilentWorkers(TimePoint now);
  void MakeReady(StudyKey key, TimePoint since);
  void BackOff(StudyKey key, std::uint32_t attempts, TimePoint now);
  void Unqueue(StudyKey key);
  void EndBackoffs(TimePoint now);
  void FinishStudyIfSettled(StudyKey key);

  void DestinationAnswered(Destination& destination);
  void DestinationFailed(Destination& destination, const Lease& lease, const std::string& detail, TimePoint now);
  const std::string& NextToProbe(const Destination& destination) const;
  void SlowDown(Destination& destination, TimePoint now);
  void AdvanceDestinations(TimePoint now);
  bool MayGrant(const Destination& destination) const;
  std::optional<std::uint32_t> LimitOf(const Destination& destination) const;  // of associations; nullopt: none
  static std::string TroubleOf(const Destination& destination, TimePoint now);

  void StartEnding(SessionKey key, wire::SessionState state, std::string reason, Output& out);
  void EndSessions(TimePoint now, Output& out);
  std::optional<TimePoint> PatienceEnds(const Session& session) const;  // nullopt: the destination is there
  void Grant(TimePoint now, Output& out);
  void ResendGrants(TimePoint now, Output& out);
  Duration Jittered(Duration min, Duration max, std::uint32_t doublings);
  std::optional<TimePoint> NextDeadline() const;

  SchedulerOptions options_;
  LeaseId last_lease_;
  std::mt19937_64 random_;
  std::map<SessionKey, Session> sessions_;
  std::unordered_map<StudyKey, Study> studies_;
  std::set<std::pair<TimePoint, StudyKey>> backing_off_;
  std::map<std::string, Destination> destinations_;
  std::map<LeaseId, Lease> leases_;
  std::map<std::string, Worker> workers_;
  // What follows is known from the leases and the workers, too; in this order, no event has to look at all of them.
  std::set<std::pair<TimePoint, LeaseId>> lease_ends_;
  std::set<std::pair<TimePoint, LeaseId>> unheld_;            // by when the grant was sent, without revoked ones
  std::set<std::pair<TimePoint, std::string>> idle_workers_;  // without leases, by when they were seen last
  std::set<FreeWorker> free_workers_;
  std::uint64_t studies_done_ = 0;
  std::uint64_t leases_expired_ = 0;
  std::uint64_t late_outcomes_ = 0;
};

}  // namespace dicom_sender
