// Decides who sends which study when: dispatch, leases, retries, what a destination can bear, and whose fault it is
// when something does not get through.
//
// Pure: no clock, socket, thread, store or logger. Step() takes what happened and the time, and says what must be
// written to the ledger and then told to the workers. The caller commits the changes before it sends the replies; if
// it cannot, this object is ahead of the ledger and must not be used any more.
//
// Whose fault it is. No instance, study, or worker may stop, starve, or fail the others:
// - A study that was given back because of its association goes behind all that were not. If a C-ECHO on an
//   association of its own got through, the study is at fault: it uses one of the study's own attempts, and the study
//   fails when these are used up. Instances that were lost use attempts of their own instead, so that the others of
//   the study may get through.
// - The destination is at fault instead if several different studies had to be given back and it has not taken
//   anything since; or if the C-ECHO failed, too. Then no attempt of a study counts. The destination is tried
//   again by one study and one worker at a time, in turn, and its sessions end when it has stayed like this for
//   `retry_for`. One that answers at all, be it with rejections, is not given up before many studies had their turn.
//   A session that does not set `retry_for` waits for a short time (a wrong port must not hold up a script) until the
//   destination has answered a C-STORE of the session, and for a long time from then on (a reboot of the archive must
//   not end a weekend's migration).
// - "Not authorized" (0124) is about the instance once the session has stored something. Before that it is about the
//   session if all studies get it, or many.
// - The worker is at fault if the destination answers others while this one cannot reach it, or is turned away with
//   several studies in a row; or if all that came of its leases is that it cannot read the files. It is quarantined:
//   tried again from time to time, alone. Its study goes to another worker, and behind all others. An instance that
//   one worker cannot read fails only when every connected worker has said so, or the only one has for `retry_for`;
//   so long, storage that goes away as a whole is waited for, too. The answer to a C-STORE shows that the storage was
//   there, so the default is the same; but files that are missing while their storage is there, or while others are
//   read, get the short time.
// - Once a lease is over, nothing that comes under it counts but what was stored: the study has a new holder.
//
// Holds live studies only, by key; instances are known to the ledger. Not thread-safe.
#pragma once

#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

#include "common/time.h"
#include "coordinator/ledger/ledger.h"
#include "coordinator/scheduler/quarantine.h"
#include "dicom/dimse_status.h"

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
  Duration retry_for_unanswered = std::chrono::seconds(60);  // `retry_for` of sessions that do not set it
  Duration retry_for_answered = std::chrono::hours(6);       // the same, once the destination has answered
  // Another worker may connect at any time, so the word of an only one that it cannot read a file has to wait.
  bool workers_may_come = true;
  // Every new lease has a higher id. A worker may outlive the ledger: what it says about a lease of a ledger that was
  // removed, or replaced by an older copy, must not be taken for a lease of this one.
  LeaseId leases_above = 0;
  std::uint64_t seed = 0;  // of the jitter
};

// --- what happened

struct SessionOpened {
  SessionKey session = 0;
  std::string destination;  // sessions with an equal one share its breaker
  std::string endpoint;     // resolved address and port, which limits are counted by; empty: the destination's name
  std::string calling_ae;   // whom it refuses, it refuses for all sessions with this name
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
struct ContinueRequested {  // takes a SuspendRequested back, while leases are still in force
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
  std::string not_ready = {};  // why it can send nothing at the moment; empty: it can
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
  bool revoked = false;  // because its session ends, such as by a cancellation; it was not lost
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

// A worker fails where others succeed. For the log.
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
  std::uint64_t late_outcomes = 0;  // of leases no longer in force
  std::uint64_t workers_connected = 0;
  std::uint64_t breakers_open = 0;
  std::uint64_t workers_quarantined = 0;
};

struct WorkerView {
  std::string worker;
  std::uint32_t capacity = 0;  // 0: not heard of since the coordinator started
  std::uint32_t leases = 0;
  bool draining = false;
  std::string not_ready;                    // why it gets no studies
  Duration last_seen{};                     // ago
  std::vector<QuarantineView> quarantined;  // what it cannot reach or read, though others can
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
  bool IsRevoked(LeaseId lease) const;  // its worker has not let go of it yet
  std::optional<StudyKey> StudyOf(LeaseId lease) const;
  std::uint64_t LiveLeases(SessionKey session) const;
  bool IsEnding(SessionKey session) const;  // it grants no more leases
  // What keeps the session's destination waiting, for a person; empty if nothing does.
  std::string Trouble(SessionKey session, TimePoint now) const;
  SchedulerStats Stats() const;
  bool Knows(const std::string& worker) const { return workers_.contains(worker); }
  // A later life of the worker has been heard of: this one is to end.
  bool IsSuperseded(const std::string& worker, std::uint64_t incarnation) const;
  std::uint64_t incarnation_of(const std::string& worker) const {
    return workers_.at(worker).incarnation.value_or(0);
  }
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
    std::uint32_t attempts = 0;   // of its association, that count against the study
    std::optional<TimePoint> set_back_since;    // its association did not get through, for the first time
    std::optional<TimePoint> unreadable_since;  // nothing of it could be read, by all that were asked
    std::uint32_t unreadable_tries = 0;
    std::set<std::string> missed_by;      // those of the next whose storage is there
    std::set<std::string> unreadable_by;  // workers that cannot read all of it
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
    std::optional<Duration> retry_for{};  // nullopt: the default
    TimePoint opened;
    std::uint64_t live_studies = 0;
    std::uint64_t untried_studies = 0;  // of the live ones, never set back
    std::uint64_t live_leases = 0;
    std::optional<TimePoint> answered_at{};   // a C-STORE, last
    bool stored_some = false;                 // so the destination takes what we send
    bool stored_before = false;               // the same, before the session was opened this time
    std::set<StudyKey> unauthorized{};        // studies that were answered 0124
    std::set<std::string> refused_workers{};  // since the destination answered this session last, as the next
    std::set<StudyKey> refused_studies{};
    std::set<std::string> readers{};              // workers that could read files of it when they tried last
    std::optional<TimePoint> unreadable_since{};  // the storage was away, and nothing was read since
    std::string unreadable_detail{};
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
  // Ready studies that the same workers may be given.
  struct ReadyGroup {
    SessionKey session = 0;
    std::set<std::string> unreadable_by;
    friend bool operator<(const ReadyGroup& a, const ReadyGroup& b) {
      return std::tie(a.session, a.unreadable_by) < std::tie(b.session, b.unreadable_by);
    }
  };
  enum class Breaker { kClosed, kOpen, kProbing };
  // How the destination fails: what must have been tried before it is given up.
  enum class TroubleKind : std::uint8_t {
    kSilent,    // it does not answer at all
    kRejects,   // it rejects the C-ECHO's association, too
    kTakesEcho  // it answers a C-ECHO
  };
  struct Destination {
    std::map<ReadyGroup, std::set<ReadyStudy>> ready;  // no group is empty
    std::string endpoint;
    std::uint32_t live_leases = 0;
    std::uint32_t served_leases = 0;  // of these, under which it has answered
    std::uint32_t sessions = 0;       // open ones
    Breaker breaker = Breaker::kClosed;
    std::uint32_t failures = 0;  // in a row
    TimePoint retry_at;          // of kOpen
    LeaseId probe = 0;           // of kProbing
    std::string tried_by;        // the worker that could not reach it last
    std::optional<TimePoint> unreachable_since;
    std::optional<TimePoint> answered_at;  // last
    std::set<StudyKey> set_back;           // live studies that were given back because of it, since it answered last
    TroubleKind trouble = TroubleKind::kSilent;
    bool refuses = false;  // the last failure was a rejection for good
    std::string detail;    // of the last failure
  };
  // What several destinations may share: an address and port, however it is spelled, under whatever AE title.
  struct Endpoint {
    std::uint32_t live_leases = 0;
    std::uint32_t destinations = 0;
    std::optional<std::uint32_t> limit;  // of associations, below what the workers offer; nullopt: none
    TimePoint limit_changed;
  };
  struct Lease {
    StudyKey study = 0;
    std::string worker;
    TimePoint expires_at;
    TimePoint grant_sent;
    bool held = false;          // the worker has said that it holds it
    bool responded = false;     // the destination answered under it
    bool lost_some = false;     // associations, with what was on its way over them
    bool unauthorized = false;  // 0124 was answered under it
    std::string unreadable{};   // why its worker could not read something that another one may; empty: it could
    bool storage_away = false;  // and that may pass
    bool associated = false;    // an association was opened under it
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
    std::string not_ready;
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

  // --- scheduler.cc: sessions, workers, leases, and where studies wait
  void On(const SessionOpened& event, TimePoint now, Output& out);
  void On(const StudiesFed& event, TimePoint now, Output& out);
  void On(const LeaseRestored& event, TimePoint now, Output& out);
  void On(const ScanCompleted& event, TimePoint now, Output& out);
  void On(const ScanBegun& event, TimePoint now, Output& out);
  void On(const SuspendRequested& event, TimePoint now, Output& out);
  void On(const ContinueRequested& event, TimePoint now, Output& out);
  void On(const CancelRequested& event, TimePoint now, Output& out);
  void On(const WorkerSeen& event, TimePoint now, Output& out);
  void On(const DrainRequested& event, TimePoint now, Output& out);
  void On(const Tick&, TimePoint, Output&) {}

  std::uint32_t AttemptsMax(const SessionOpened& event) const;
  Study& FindOrAddStudy(StudyKey key, SessionKey session_key, Session& session, TimePoint now);
  void Feed(SessionKey key, Session& session, const StudyFeed& feed, TimePoint now);
  void StartEnding(SessionKey key, wire::SessionState state, std::string reason, Output& out);
  void EndSessions(TimePoint now, Output& out);
  void DropSession(SessionKey key);

  void EndLease(LeaseId lease, bool clean, Output& out);
  void AddLease(LeaseId id, SessionKey session, Lease lease);
  void SetExpiry(LeaseId id, Lease& lease, TimePoint expires_at);
  void StopResending(LeaseId id, const Lease& lease);
  static std::uint32_t FreePlaces(const Worker& worker);
  // One that is known by a lease of the last coordinator's time may take studies, too, once it is heard of.
  static bool MayReadFiles(const Worker& worker) { return TakesStudies(worker) || !worker.incarnation; }
  static bool TakesStudies(const Worker& worker) {
    return worker.capacity > 0 && !worker.draining && worker.not_ready.empty();
  }
  template <class Change>
  void ChangeWorker(const std::string& name, Change change);
  void ExpireLeases(TimePoint now, Output& out);
  void ForgetFailures(const std::string& worker);
  void ForgetSilentWorkers(TimePoint now);

  struct NextGrant {
    ReadyStudy study;
    std::string worker;
  };
  void Grant(TimePoint now, Output& out);
  void GrantLease(const std::string& name, Destination& destination, const NextGrant& next, TimePoint now,
                  Output& out);
  std::optional<NextGrant> ChooseGrant(const std::string& name, const Destination& destination, TimePoint now) const;
  const std::string* ChooseWorker(const std::string& name, const Destination& destination, const ReadyGroup& group,
                                  TimePoint now) const;
  const std::string* ChooseWorker(const std::string& name, const Destination& destination, const ReadyGroup& group,
                                  bool asked_before, TimePoint now) const;
  bool MayServe(const std::string& worker, const std::string& destination, const ReadyGroup& group,
                TimePoint now) const;
  void ResendGrants(TimePoint now, Output& out);

  void PlaceAfterLease(StudyKey key, std::uint32_t attempts, TimePoint now);
  void MakeAllReady(SessionKey session, TimePoint now);  // those that wait
  void MakeReady(StudyKey key, TimePoint since);
  void BackOff(StudyKey key, std::uint32_t attempts, TimePoint now);
  void Unqueue(StudyKey key);
  void EndBackoffs(TimePoint now);
  void FinishStudyIfSettled(StudyKey key);
  Duration Jittered(Duration min, Duration max, std::uint32_t doublings);
  std::optional<TimePoint> NextDeadline(TimePoint now) const;

  // --- scheduler_outcomes.cc: what was reported, and whose fault it is
  void On(const Reported& event, TimePoint now, Output& out);
  static bool StoredSome(const Session& session) { return session.stored_some || session.stored_before; }
  bool IsSuspectProbe(const Destination& destination, LeaseId lease) const;
  bool TakesNothing(const Destination& destination) const;
  void NoteAssociation(Lease& lease, TimePoint now);
  InstanceChange Judge(const Reported& event, const OutcomeReported& reported, TimePoint now) const;
  InstanceState StateAfter(StatusVerdict verdict, bool last_attempt, const Session* session) const;
  void JudgeUnreadable(const Reported& event, bool storage_away, TimePoint now, InstanceChange& change) const;
  void NoteUnreadable(const Lease& lease, const wire::Outcome& outcome, TimePoint now);
  void RecordOutcome(const Reported& event, const OutcomeReported& reported, TimePoint now, Output& out);
  void NoteResponse(Lease& lease, StatusVerdict verdict, TimePoint now, Output& out);
  void NoteUnauthorized(Lease& lease, Output& out);
  void TakeBack(LeaseId lease, const wire::GiveBack& give_back, TimePoint now, Output& out);
  void TakeBackDone(const Lease& lease, TimePoint now);
  void TakeBackOfDestination(const Lease& lease, const wire::GiveBack& give_back, TimePoint now, Output& out);
  void TurnAway(const Lease& lease, const wire::GiveBack& give_back, TimePoint now, Output& out);
  void NoteTurnedAway(const Lease& lease, const std::string& detail, TimePoint now, Output& out);
  bool IsTurnedAway(const std::string& worker, const std::string& destination) const;
  bool ConcludeRefusal(const Lease& lease, const wire::GiveBack& give_back, Output& out);
  void PlaceAfterLoss(const Lease& lease, TimePoint now, Output& out);
  void SetBack(Study& study);
  std::uint32_t PassOnUnreadable(const Lease& lease, TimePoint now, Output& out);
  void QuarantineWorker(const std::string& worker, const QuarantineSubject& subject, const std::string& reason,
                        Blame blame, TimePoint now, Output& out);
  void ReadAgain(const std::string& worker, TimePoint now);
  bool AllMiss(const Study& study, const std::string& worker) const;
  Blame BlameForFiles(const Lease& lease, bool nobody_left) const;
  bool OthersRead(SessionKey session) const;
  bool OthersMayRead(const Study& study, const std::string& worker) const;
  bool NobodyLeftToRead(SessionKey session, const std::set<std::string>& unreadable_by) const;
  bool StoragePatienceIsOver(const Study& study, TimePoint now) const;
  std::string NotReadableBy(const Study& study, const std::string& worker, const std::string& reason) const;
  void FailStudy(StudyKey key, std::string reason, Output& out);

  // --- scheduler_destinations.cc: breaker and limits
  void DestinationAnswered(const std::string& name, const std::string& worker, TimePoint now);
  void DestinationEchoed(const std::string& name, const std::string& worker, TimePoint now);
  void OutOfReach(const Lease& lease, const wire::GiveBack& give_back, TimePoint now, Output& out);
  void OpenBreaker(Destination& destination, TimePoint now);
  Duration LongestPause(TroubleKind trouble) const;
  bool Serves(const Destination& destination, const std::string& worker) const;
  void LowerLimit(Destination& destination, TimePoint now);
  void SlowDown(Destination& destination, TimePoint now);
  void RaiseLimits(TimePoint now);
  bool MayGrant(const Destination& destination, TimePoint now) const;
  std::optional<std::uint32_t> LimitOf(const Destination& destination) const;  // of associations; nullopt: none
  Duration RetryFor(const Session& session) const;
  std::optional<TimePoint> PatienceEnds(const Session& session) const;  // nullopt: the destination is reachable
  std::optional<TimePoint> StoragePatienceEnds(const Session& session) const;  // nullopt: it is there
  bool HadTheirTurn(SessionKey key) const;
  std::string TroubleOf(const Destination& destination, TimePoint now) const;

  const std::string& DestinationOf(const Lease& lease) const;

  SchedulerOptions options_;
  LeaseId last_lease_;
  std::mt19937_64 random_;
  std::map<SessionKey, Session> sessions_;
  std::unordered_map<StudyKey, Study> studies_;
  std::set<std::pair<TimePoint, StudyKey>> backing_off_;
  std::map<std::string, Destination> destinations_;
  std::map<std::string, Endpoint> endpoints_;
  Quarantine quarantine_;
  // By worker and destination: studies that it was turned away with, though a C-ECHO was answered, since the
  // destination answered it last; no more than are needed to be sure.
  std::map<std::pair<std::string, std::string>, std::set<StudyKey>> turned_away_;
  std::set<StudyKey> partly_read_;  // studies that some worker cannot read all of
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
