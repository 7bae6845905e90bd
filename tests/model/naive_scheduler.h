// A second implementation of the Scheduler that is as simple as possible: flat lists, no queues, no counters. It
// computes everything that can be derived whenever it is needed. It is slow but easy to verify; scheduler_duel.h
// compares the real scheduler with it. It has the same functions; see coordinator/scheduler/scheduler.h.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/scheduler/scheduler.h"

namespace dicom_sender {

class NaiveScheduler {
 public:
  NaiveScheduler(SchedulerOptions options, LeaseId last_lease)
      : options_(options),
        last_lease_(last_lease),
        quarantine_({.backoff_min = options.breaker_backoff_min, .backoff_max = options.breaker_backoff_max}) {}

  // Copies the random ends of backoffs from `real`, which has already done this step. Throws std::logic_error if one
  // of them is out of range.
  Output Step(const Event& event, TimePoint now, const Scheduler& real);

  std::optional<StudyKey> StudyOf(LeaseId lease) const;
  std::size_t LiveLeases(SessionKey session) const;
  bool IsEnding(SessionKey session) const;
  std::string Trouble(SessionKey session, TimePoint now) const;
  SchedulerStats Stats() const;
  bool Knows(const std::string& worker) const;
  bool IsSuperseded(const std::string& worker, std::uint64_t incarnation) const;
  std::size_t worker_count() const { return workers_.size(); }
  std::vector<WorkerView> Workers(TimePoint now) const;
  std::vector<DestinationView> Destinations(TimePoint now) const;

 private:
  struct Session {
    SessionOpened opened_as{};
    bool scan_complete = false;
    TimePoint opened{};
    bool stored_some = false;
    std::optional<TimePoint> answered{};  // last
    std::set<StudyKey> unauthorized{};
    std::set<std::string> readers{};
    std::set<std::string> refused_workers{};
    std::set<StudyKey> refused_studies{};
    std::optional<TimePoint> unreadable_since{};
    std::string unreadable_detail{};
    std::optional<std::pair<wire::SessionState, std::string>> ending{};
  };
  struct Study {
    StudyKey key = 0;
    SessionKey session = 0;
    std::uint64_t bytes = 0;
    std::uint32_t unsettled = 0;
    std::uint32_t setbacks = 0;
    std::uint32_t losses = 0;
    std::uint32_t attempts = 0;
    std::optional<TimePoint> set_back_since{}, unreadable_since{};
    std::set<std::string> unreadable_by{}, missed_by{};
    std::uint32_t unreadable_tries = 0;
    bool released = false;  // its scan no longer holds it back
    TimePoint ready_since{};
    std::optional<TimePoint> backs_off_until{};
    std::optional<Duration> backoff_max{};  // of a backoff whose end is not known yet
  };
  struct Lease {
    LeaseId id = 0;
    StudyKey study = 0;
    std::string worker{};
    TimePoint expires_at{}, told_at{};
    bool held = false, responded = false, settled_some = false, nothing_came = false, revoked = false,
         restored = false, associated = false, unauthorized = false, storage_away = false;
    std::string unreadable{};
    std::uint32_t worst_attempts = 0;
  };
  struct Worker {
    std::string name{};
    std::optional<WorkerSeen> seen{};  // its last status
    TimePoint last_seen{};
    bool drain_requested = false;
    std::uint32_t capacity() const { return seen ? seen->capacity : 0; }
    bool draining() const { return drain_requested || (seen && seen->draining); }
    std::string not_ready() const { return seen ? seen->not_ready : ""; }
    bool may_read() const { return takes_studies() || !seen; }
    bool takes_studies() const { return capacity() > 0 && !draining() && not_ready().empty(); }
  };
  struct Destination {
    std::string name{}, endpoint{};
    bool broken = false;
    LeaseId probe = 0;  // the lease that probes it; 0: none
    std::uint32_t failures = 0;
    TimePoint retry_at{};
    std::optional<Duration> backoff_max{};  // the same as for a study
    std::optional<TimePoint> unreachable_since{};
    std::string detail{};
    std::string tried_by{};  // the last worker that could not reach it
    std::optional<TimePoint> answered_at{};
    std::set<StudyKey> set_back{};
    std::map<std::string, std::set<StudyKey>> turned_away{};
    enum class Trouble { kSilent, kRejects, kTakesEcho } trouble = Trouble::kSilent;
    bool refuses = false;
  };
  struct Limit {
    std::optional<std::uint32_t> associations{};
    TimePoint changed{};
  };

  void On(const SessionOpened& event);
  void On(const StudiesFed& event);
  void Feed(const Session& session, SessionKey key, const StudyFeed& feed);
  void On(const LeaseRestored& event);
  void On(const ScanCompleted& event);
  void On(const ScanBegun& event);
  void On(const SuspendRequested& event);
  void On(const ContinueRequested& event);
  void On(const CancelRequested& event);
  void On(const WorkerSeen& event);
  void On(const DrainRequested& event);
  void On(const Reported& event);
  void On(const Tick&) {}

  Duration RetryFor(const Session& session) const;
  static bool StoredSome(const Session& session) { return session.stored_some || session.opened_as.stored_before; }
  InstanceChange Judge(const Reported& event, const OutcomeReported& reported);
  void Responded(LeaseId lease, const wire::Outcome& outcome);
  void Record(const Reported& event, const OutcomeReported& reported);
  void GiveBack(LeaseId lease, const wire::GiveBack& give_back);
  void End(LeaseId lease, bool clean);
  void GiveBackOfDestination(const Lease& lease, const wire::GiveBack& give_back);
  void TurnAway(const Lease& lease, const wire::GiveBack& give_back);
  bool Refuse(const Lease& lease, const wire::GiveBack& give_back);
  void OutOfReach(const Lease& lease, const wire::GiveBack& give_back);
  void NoteUnreadable(const Lease& lease);
  void SetBack(Study& study);
  void BackOff(Study& study, std::uint32_t in_vain);
  void Fail(Study& study, const std::string& reason);
  void StartEnding(SessionKey session, wire::SessionState state, const std::string& reason);

  void ExpireLeases();
  void ForgetSilentWorkers();
  void ForgetFailures(const std::string& worker);
  void EndBackoffs();
  void RaiseLimits();
  void ForgetSettledStudies();
  void GiveUpUnreachable();
  void EndSessions();
  void Grant();
  void RepeatGrants();
  void AdoptWhatChanceDecided(const Scheduler& real);
  std::optional<TimePoint> NextDeadline() const;

  void Answered(Destination& destination, const std::string& worker);
  void Echoed(Destination& destination, const std::string& worker);
  bool TakesNothing(const Destination& destination) const;
  void Break(Destination& destination);
  void ReadAgain(const std::string& worker);

  // These return nullptr if there is no match, or are only called if there is one.
  Session* FindSession(SessionKey key);
  Study* FindStudy(StudyKey key);
  Lease* FindLease(LeaseId id);
  Worker* FindWorker(const std::string& name);
  Destination* FindDestination(const std::string& name);
  const Session& SessionOf(const Study& study) const;
  const Session& SessionOf(const Lease& lease) const;
  Destination& DestinationOf(const Session& session);
  const Destination& DestinationOf(const Session& session) const;

  bool IsLeased(const Study& study) const;
  bool IsBackingOff(const Study& study) const;
  bool IsReady(const Study& study) const;
  bool HasStudies(const Session& session) const;
  std::uint32_t LeasesTo(const Destination& destination) const;
  std::uint32_t LeasesOf(const Worker& worker) const;
  std::optional<std::uint32_t> LimitOf(const Destination& destination) const;
  std::uint32_t LeasesAt(const std::string& endpoint) const;
  bool Takes(const Destination& destination) const;
  std::pair<Study*, const Worker*> NextGrant(const Destination& destination);
  const Worker* WorkerFor(const Study& study, const Destination& destination) const;
  bool MayServe(const Worker& worker, const Study& study, const Destination& destination) const;
  bool NobodyLeft(SessionKey session, const std::set<std::string>& unreadable_by) const;
  bool StorageIsGone(const Study& study) const;
  std::string NotReadable(const Study& study, const std::string& worker, const std::string& reason) const;
  bool Serves(const Destination& destination, const std::string& worker) const;
  bool ServesAny(const Destination& destination) const;
  bool HadTheirTurn(const Session& session) const;
  std::optional<TimePoint> PatienceEnds(const Session& session) const;
  std::string TroubleOf(const Destination& destination, TimePoint now) const;

  SchedulerOptions options_;
  LeaseId last_lease_;
  TimePoint now_;
  Output out_;
  std::vector<Session> sessions_;          // by key
  std::vector<Study> studies_;             // unordered
  std::vector<Lease> leases_;              // in force, by id
  std::vector<Worker> workers_;            // by name
  std::vector<Destination> destinations_;  // by name
  std::map<std::string, Limit> limits_;    // by endpoint
  Quarantine quarantine_;                  // the real class, which has its own tests
  std::uint64_t studies_done_ = 0, leases_expired_ = 0, late_outcomes_ = 0;
};

}  // namespace dicom_sender
