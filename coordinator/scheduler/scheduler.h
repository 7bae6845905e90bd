// Decides which worker sends which study when, and attributes each failure to an instance, study, worker, or
// destination.
//
// Pure: no clock, socket, thread, store, or logger. Step() takes what happened and the time, and says what must be
// written to the ledger and then told to the workers (scheduler_events.h). The caller commits the changes before it
// sends the replies. If it cannot, this object is ahead of the ledger and must not be used any more.
//
// Rules of the leases, each with its reason:
// - A study has at most one lease, and lease ids only increase. So only one worker at a time sends an instance, and a
//   late report of an earlier holder can be told from a report of the current one.
// - A grant is repeated until the worker lists the lease: messages may be lost.
// - A lease is renewed only when its worker made progress. A worker that is connected but stuck must not keep its
//   study forever.
// - Once a lease is over, nothing that is reported under it counts except what was stored: that the destination took
//   an instance is a fact, but the study has a new holder, whose result decides the rest.
// - A worker that restarts holds nothing, so its leases end immediately instead of when they expire.
// - A study whose leases are lost again and again without any result waits longer each time, and behind all others:
//   one of its files may kill every worker that decodes it.
// - The largest ready study goes first, because the longest job must not start last.
//
// Rules of fault, each with its reason. No instance, study, or worker may stop, starve, or fail the others:
// - A study that was given back because of its association goes behind all that were not. If a C-ECHO on a separate
//   association got through, the study is at fault: it uses one of the study's own attempts, and the study fails when
//   these are used up. Instances that were lost use attempts of their own instead, so that the study's other
//   instances may get through.
// - The destination is at fault instead if several different studies were given back and it has not taken anything
//   since, or if the C-ECHO failed, too. Then no attempt of a study counts. One study and one worker at a time try
//   the destination again (circuit_breaker.h), in turn, because the trouble may be that of one worker alone. Its
//   sessions end when it has stayed like this for `retry_for`. A destination that answers at all, even with
//   rejections, is not given up before many studies had their turn, because it may take one of them.
// - A session without `retry_for` waits for a short time until the destination has answered one of its C-STOREs,
//   because a wrong port must not hold up a script; from then on it waits for a long time, because a reboot of the
//   archive must not end a weekend's migration.
// - "Not authorized" (0124) is about the instance once the session has stored something. Before that it is about the
//   session if all its studies get it, or many of them.
// - The worker is at fault if the destination answers others while this worker cannot reach it or is turned away with
//   several studies in a row, or if its leases yield nothing but files that it cannot read. It is quarantined
//   (quarantine.h): from time to time it is tried again, with one lease at a time. Its study goes to another worker,
//   and behind all others.
// - An instance that one worker cannot read fails only when every connected worker has failed to read it, or when the
//   only one has for `retry_for`. Storage that goes away as a whole is waited for equally long. The answer to a
//   C-STORE shows that the storage was there, so the default is the same. But files that are missing while their
//   storage is there, or while others are read, are waited for only a short time.
//
// Holds only live studies, by key; the ledger knows the instances. Not thread-safe.
#pragma once

#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/time.h"
#include "coordinator/ledger/ledger.h"
#include "coordinator/scheduler/association_limit.h"
#include "coordinator/scheduler/circuit_breaker.h"
#include "coordinator/scheduler/quarantine.h"
#include "coordinator/scheduler/ready_queue.h"
#include "coordinator/scheduler/scheduler_events.h"
#include "dicom/dimse_status.h"

namespace dicom_sender {

class Scheduler {
 public:
  Scheduler(SchedulerOptions options, LeaseId last_lease);

  Output Step(const Event& event, TimePoint now);

  // The study of a lease that is in force; pages are not handed out under any other lease.
  std::optional<StudyKey> StudyOf(LeaseId lease) const;
  bool IsRevoked(LeaseId lease) const;  // and its worker has not let go of it yet
  std::uint64_t LiveLeases(SessionKey session) const;
  bool IsEnding(SessionKey session) const;  // it grants no more leases
  // What keeps the session's destination waiting, for a person; empty if nothing does.
  std::string Trouble(SessionKey session, TimePoint now) const;
  SchedulerStats Stats() const;
  bool Knows(const std::string& worker) const { return workers_.contains(worker); }
  // A later start of the worker has connected, so this one has to end.
  bool IsSuperseded(const std::string& worker, std::uint64_t incarnation) const;
  std::uint64_t incarnation_of(const std::string& worker) const {
    return workers_.at(worker).incarnation.value_or(0);
  }
  // A later status of the worker has arrived, so this one changes nothing.
  bool IsOvertaken(const WorkerSeen& seen) const;
  std::size_t worker_count() const { return workers_.size(); }
  std::vector<WorkerView> Workers(TimePoint now) const;            // by name
  std::vector<DestinationView> Destinations(TimePoint now) const;  // of the open sessions, by name
  Duration lease_ttl() const { return options_.lease_ttl; }

  // Throws std::logic_error with what does not hold. For tests.
  void CheckInvariants() const;
  // The two times that are random, while they are waited for: when the study is ready again, and when the destination
  // is tried again. For tests.
  std::optional<TimePoint> BacksOffUntil(StudyKey study) const;
  std::optional<TimePoint> ProbesAt(const std::string& destination) const;

 private:
  // A study is in one place: waiting for its scan, in its destination's ready queue, backing off, or leased.
  enum class Place { kWaiting, kReady, kBackingOff, kLeased };
  struct Study {
    SessionKey session = 0;
    std::uint64_t bytes = 0;      // to send, for the order
    std::uint32_t unsettled = 0;  // instances
    std::uint32_t setbacks = 0;   // how often it was given back because of the destination, or lost without a result
    std::uint32_t losses = 0;     // leases that were lost in a row without any result
    std::uint32_t attempts = 0;   // at its association, that count against the study
    std::optional<TimePoint> set_back_since;    // when its association did not get through for the first time
    std::optional<TimePoint> unreadable_since;  // since when nothing of it could be read by any worker
    std::uint32_t unreadable_tries = 0;
    std::set<std::string> unreadable_by;  // workers that cannot read all of it
    std::set<std::string> missed_by;      // of these, the ones whose storage is there
    Place place = Place::kWaiting;
    TimePoint since;  // when it came to this place; while it backs off: until when
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
    std::uint64_t untried_studies = 0;  // live ones that were never set back
    std::uint64_t live_leases = 0;
    std::optional<TimePoint> answered_at{};  // when a C-STORE was answered last
    bool stored_some = false;                // so the destination takes what we send
    bool stored_before = false;              // the same, before the session was opened this time
    std::set<StudyKey> unauthorized{};       // studies that were answered 0124
    // Workers and studies that were refused since the destination answered this session last.
    std::set<std::string> refused_workers{};
    std::set<StudyKey> refused_studies{};
    std::set<std::string> readers{};              // workers that could read files of it when they tried last
    std::optional<TimePoint> unreadable_since{};  // since when the storage is away
    std::string unreadable_detail{};
    std::optional<Ending> ending;  // no more studies are leased; it ends when its leases have ended
  };
  struct Destination {
    explicit Destination(BreakerOptions options) : breaker(options) {}
    CircuitBreaker breaker;
    ReadyQueue ready;
    std::string endpoint;
    std::uint32_t live_leases = 0;
    std::uint32_t served_leases = 0;       // live leases under which it has answered
    std::uint32_t sessions = 0;            // that are open
    std::string last_unreachable_from;     // the worker that could not reach it last
    std::optional<TimePoint> answered_at;  // when it answered last
    std::set<StudyKey> set_back;           // live studies that were given back because of it, since it answered last
    std::string last_failure_reason;
    bool last_failure_is_refusal = false;  // rejected for good
  };
  // An address and port, which several destinations may share under different spellings and AE titles.
  struct Endpoint {
    explicit Endpoint(AssociationLimitOptions options) : limit(options) {}
    AssociationLimit limit;
    std::uint32_t live_leases = 0;
    std::uint32_t destinations = 0;
  };
  struct Lease {
    StudyKey study = 0;
    std::string worker;
    TimePoint expires_at;
    TimePoint grant_sent;
    bool held = false;          // the worker has confirmed that it holds the lease
    bool responded = false;     // the destination has answered under it
    bool lost_some = false;     // instances were on their way over an association that was lost
    bool unauthorized = false;  // 0124 was answered under it
    std::string unreadable{};   // why its worker could not read something that another one may; empty: it could
    bool storage_away = false;  // because its storage is away as a whole, which may pass
    bool associated = false;    // an association was opened under it
    bool settled_some = false;
    bool revoked = false;
    bool restored = false;             // from before the coordinator started, and not yet listed by its worker
    std::uint32_t worst_attempts = 0;  // the most attempts of an instance that was delayed under it
  };
  struct Worker {
    std::optional<std::uint64_t> incarnation;  // nullopt: known only by name, from a restored lease
    std::uint64_t seq = 0;                     // of its last status
    std::set<LeaseId> listed;                  // in its last status
    std::uint32_t capacity = 0;
    bool draining = false;
    bool drain_requested = false;
    std::string not_ready;
    TimePoint last_seen;
    std::set<LeaseId> leases;  // in force
  };
  // The worker with the most free places first, equally free ones by name.
  struct FreeWorker {
    std::uint32_t places = 0;
    const std::string* name = nullptr;  // of workers_
    friend bool operator<(const FreeWorker& a, const FreeWorker& b) {
      return a.places != b.places ? a.places > b.places : *a.name < *b.name;
    }
  };

  class Invariants;
  // If the destination rejects this many different studies in a row, the cause is not in the studies.
  static constexpr std::size_t kSeveralStudies = 3;

  // --- scheduler.cc: the step, and where studies wait
  std::optional<TimePoint> NextDeadline(TimePoint now) const;
  std::optional<TimePoint> NextPatienceEnd(TimePoint now) const;
  void PlaceAfterLease(StudyKey key, std::uint32_t attempts, TimePoint now);
  void MakeReady(StudyKey key, TimePoint since);
  void MakeAllReady(SessionKey session, TimePoint now);  // those that wait
  void BackOff(StudyKey key, std::uint32_t attempts, TimePoint now);
  void EndBackoffs(TimePoint now);
  void Unqueue(StudyKey key);
  static ReadyGroup GroupOf(const Study& study) { return {study.session, study.unreadable_by}; }
  static ReadyStudy PlaceInQueue(StudyKey key, const Study& study) { return {study.setbacks, study.bytes, key}; }
  void SetBack(Study& study);
  void FailStudy(StudyKey key, std::string reason, Output& out);
  void FinishStudyIfSettled(StudyKey key);

  // --- scheduler_sessions.cc: sessions, and what is fed to them
  void On(const SessionOpened& event, TimePoint now, Output& out);
  void On(const StudiesFed& event, TimePoint now, Output& out);
  void On(const ScanCompleted& event, TimePoint now, Output& out);
  void On(const ScanBegun& event, TimePoint now, Output& out);
  void On(const SuspendRequested& event, TimePoint now, Output& out);
  void On(const ContinueRequested& event, TimePoint now, Output& out);
  void On(const CancelRequested& event, TimePoint now, Output& out);
  void On(const Tick&, TimePoint, Output&) {}
  std::uint32_t AttemptsMax(const SessionOpened& event) const;
  Destination& FindOrAddDestination(const SessionOpened& event);
  Study& FindOrAddStudy(StudyKey key, SessionKey session_key, Session& session, TimePoint now);
  void Feed(SessionKey key, Session& session, const StudyFeed& feed, TimePoint now);
  void StartEnding(SessionKey key, wire::SessionState state, std::string reason, Output& out);
  void RevokeLeases(SessionKey session, Output& out);
  void EndSessions(TimePoint now, Output& out);
  void GiveUpDestinations(TimePoint now, Output& out);
  void DropSession(SessionKey key);
  void DropDestination(const std::string& name);

  // --- scheduler_leases.cc: workers and their leases
  void On(const LeaseRestored& event, TimePoint now, Output& out);
  void On(const WorkerSeen& event, TimePoint now, Output& out);
  void On(const DrainRequested& event, TimePoint now, Output& out);
  StatusReply RenewListed(const WorkerSeen& event, bool same_life, TimePoint now);
  void EndUnlisted(const WorkerSeen& event, bool same_life, TimePoint now, Output& out);
  template <class Change>
  void ChangeWorker(const std::string& name, Change change);
  static std::uint32_t FreePlaces(const Worker& worker);
  static bool TakesStudies(const Worker& worker) {
    return worker.capacity > 0 && !worker.draining && worker.not_ready.empty();
  }
  // A worker that is known only by a lease from before the coordinator started may take studies once it connects.
  static bool MayReadFiles(const Worker& worker) { return TakesStudies(worker) || !worker.incarnation; }
  void ForgetFailures(const std::string& worker);
  void ForgetSilentWorkers(TimePoint now);
  void AddLease(LeaseId id, SessionKey session, Lease lease);
  void SetExpiry(LeaseId id, Lease& lease, TimePoint expires_at);
  void StopResending(LeaseId id, const Lease& lease);
  void EndLease(LeaseId lease, bool clean, Output& out);
  void ExpireLeases(TimePoint now, Output& out);

  // --- scheduler_grants.cc: which study goes to which worker
  struct NextGrant {
    ReadyStudy study;
    std::string worker;
  };
  void Grant(TimePoint now, Output& out);
  std::optional<NextGrant> ChooseGrant(const std::string& name, const Destination& destination, TimePoint now) const;
  const std::string* ChooseWorker(const std::string& name, const Destination& destination, const ReadyGroup& group,
                                  TimePoint now) const;
  const std::string* ChooseWorker(const std::string& name, const Destination& destination, const ReadyGroup& group,
                                  bool asked_before, TimePoint now) const;
  bool MayServe(const std::string& worker, const std::string& destination, const ReadyGroup& group,
                TimePoint now) const;
  void GrantLease(const std::string& name, Destination& destination, const NextGrant& next, TimePoint now,
                  Output& out);
  void ResendGrants(TimePoint now, Output& out);

  // --- scheduler_outcomes.cc: what was reported of instances
  void On(const Reported& event, TimePoint now, Output& out);
  void NoteAssociation(Lease& lease, TimePoint now);
  void RecordOutcome(const Reported& event, const OutcomeReported& reported, TimePoint now, Output& out);
  void NoteOutcome(Lease& lease, const wire::Outcome& outcome, const InstanceChange& change);
  InstanceChange Judge(const Reported& event, const OutcomeReported& reported, TimePoint now) const;
  void JudgeSent(const Reported& event, const wire::Outcome& outcome, InstanceState before,
                 InstanceChange& change) const;
  InstanceState StateAfter(StatusVerdict verdict, bool last_attempt, const Session* session) const;
  static bool StoredSome(const Session& session) { return session.stored_some || session.stored_before; }
  void NoteResponse(Lease& lease, StatusVerdict verdict, TimePoint now, Output& out);
  void NoteUnauthorized(Lease& lease, Output& out);

  // --- scheduler_give_back.cc: leases that are over without everything being settled
  void TakeBack(LeaseId lease, const wire::GiveBack& give_back, TimePoint now, Output& out);
  void TakeBackDone(const Lease& lease, TimePoint now);
  void TakeBackOfDestination(const Lease& lease, const wire::GiveBack& give_back, TimePoint now, Output& out);
  void TurnAway(const Lease& lease, const wire::GiveBack& give_back, TimePoint now, Output& out);
  void BlameStudy(const Lease& lease, const wire::GiveBack& give_back, TimePoint now, Output& out);
  void NoteTurnedAway(const Lease& lease, const std::string& detail, TimePoint now, Output& out);
  bool ConcludeRefusal(const Lease& lease, const wire::GiveBack& give_back, Output& out);
  void PlaceAfterLoss(const Lease& lease, TimePoint now, Output& out);

  // --- scheduler_files.cc: files that cannot be read
  void NoteUnreadable(const Lease& lease, const wire::Outcome& outcome, TimePoint now);
  void JudgeUnreadable(const Reported& event, bool storage_away, TimePoint now, InstanceChange& change) const;
  bool AllMiss(const Study& study, const std::string& worker) const;
  bool OthersMayRead(const Study& study, const std::string& worker) const;
  bool NobodyLeftToRead(SessionKey session, const std::set<std::string>& unreadable_by) const;
  std::string NotReadableBy(const Study& study, const std::string& worker, const std::string& reason) const;
  bool StoragePatienceIsOver(const Study& study, TimePoint now) const;
  std::optional<TimePoint> StoragePatienceEnds(const Session& session) const;  // nullopt: it is there
  std::uint32_t PassOnUnreadable(const Lease& lease, TimePoint now, Output& out);
  Blame BlameForFiles(const Lease& lease, bool nobody_left) const;
  bool OthersRead(SessionKey session) const;
  void ReadAgain(const std::string& worker, TimePoint now);
  void QuarantineWorker(const std::string& worker, const QuarantineSubject& subject, const std::string& reason,
                        Blame blame, TimePoint now, Output& out);

  // --- scheduler_destinations.cc: what a destination can bear, and how long it is waited for
  const std::string& DestinationOf(const Lease& lease) const;
  void DestinationAnswered(const std::string& name, const std::string& worker, TimePoint now);
  void DestinationEchoed(const std::string& name, const std::string& worker, TimePoint now);
  void OutOfReach(const Lease& lease, const wire::GiveBack& give_back, TimePoint now, Output& out);
  void OpenBreaker(Destination& destination, TroubleKind trouble, TimePoint now);
  bool Serves(const Destination& destination, const std::string& worker) const;
  void LowerLimit(const Destination& destination, TimePoint now);
  void SlowDown(const Destination& destination, TimePoint now);
  void RaiseLimits(TimePoint now);
  bool MayGrant(const Destination& destination, TimePoint now) const;
  std::optional<std::uint32_t> LimitOf(const Destination& destination) const;  // of associations; nullopt: none
  bool IsSuspectProbe(const Destination& destination, LeaseId lease) const;
  bool TakesNothing(const Destination& destination) const;
  bool IsTurnedAway(const std::string& worker, const std::string& destination) const;
  Duration RetryFor(const Session& session) const;
  std::optional<TimePoint> PatienceEnds(const Session& session) const;  // nullopt: the destination is reachable
  bool HadTheirTurn(SessionKey key) const;

  // --- scheduler_views.cc
  std::string TroubleOf(const Destination& destination, TimePoint now) const;

  SchedulerOptions options_;
  LeaseId last_lease_;
  std::mt19937_64 random_;
  std::map<SessionKey, Session> sessions_;
  std::unordered_map<StudyKey, Study> studies_;
  std::set<std::pair<TimePoint, StudyKey>> backing_off_;
  std::map<std::string, Destination> destinations_;
  std::map<std::string, Endpoint> endpoints_;
  Quarantine quarantine_;
  // By worker and destination: the studies that the worker was turned away with, although a C-ECHO was answered,
  // since the destination answered it last. At most kSeveralStudies.
  std::map<std::pair<std::string, std::string>, std::set<StudyKey>> turned_away_;
  std::set<StudyKey> partly_read_;  // studies that some worker cannot read all of
  std::map<LeaseId, Lease> leases_;
  std::map<std::string, Worker> workers_;
  // Orders of the leases and the workers, so that no event has to look at all of them.
  std::set<std::pair<TimePoint, LeaseId>> lease_ends_;
  std::set<std::pair<TimePoint, LeaseId>> unheld_;            // by when the grant was sent, without revoked ones
  std::set<std::pair<TimePoint, std::string>> idle_workers_;  // without leases, by when they were seen last
  std::set<FreeWorker> free_workers_;
  std::uint64_t studies_done_ = 0;
  std::uint64_t leases_expired_ = 0;
  std::uint64_t late_outcomes_ = 0;
};

}  // namespace dicom_sender
