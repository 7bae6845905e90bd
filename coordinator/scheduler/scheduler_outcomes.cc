// What was reported, and whose fault it is: see scheduler.h for the rules.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "coordinator/scheduler/scheduler.h"

namespace dicom_sender {
namespace {

// When this many different studies are turned away in a row, it is no accident.
constexpr std::size_t kSeveralStudies = 3;
// A study fails after as many attempts at its association as an instance has, but not for one or two that an
// archive's restart may have cost it.
constexpr std::uint32_t kStudyAttemptsMin = 3;
// Different studies that must be refused before a refusal is taken for the destination's word to all of them.
constexpr std::size_t kRefusedStudies = 2;
constexpr std::size_t kUnauthorizedStudiesMin = 2, kUnauthorizedStudiesMax = 32;

bool IsLost(const wire::Outcome& outcome) {
  return outcome.kind() == wire::Outcome::ASSOCIATION_LOST || outcome.kind() == wire::Outcome::UNANSWERED;
}

bool IsStored(InstanceState state) {
  return state == InstanceState::kStored || state == InstanceState::kStoredWithWarning;
}

}  // namespace

void Scheduler::On(const Reported& event, TimePoint now, Output& out) {
  const bool live = leases_.contains(event.lease);
  if (!live) late_outcomes_ += event.outcomes.size();
  if (live && event.associations > 0) NoteAssociation(leases_.at(event.lease), now);
  for (const auto& reported : event.outcomes) RecordOutcome(event, reported, now, out);
  if (!live) {
    FinishStudyIfSettled(event.study);
    return;
  }
  Lease& lease = leases_.at(event.lease);
  StopResending(event.lease, lease);
  lease.held = true;
  if (event.give_back) TakeBack(event.lease, *event.give_back, now, out);
}

// Where another worker was the last one that could not reach the destination, an association says what a C-ECHO does.
void Scheduler::NoteAssociation(Lease& lease, TimePoint now) {
  if (lease.associated) return;
  lease.associated = true;
  const std::string& name = DestinationOf(lease);
  if (destinations_.at(name).tried_by != lease.worker) DestinationEchoed(name, lease.worker, now);
}

// The lease finds out whether a destination that takes a C-ECHO, but lost what several studies sent, still does so.
// With fewer of them left, the fault may be theirs.
bool Scheduler::IsSuspectProbe(const Destination& destination, LeaseId lease) const {
  return destination.breaker == Breaker::kProbing && destination.probe == lease &&
         destination.trouble == TroubleKind::kTakesEcho && TakesNothing(destination);
}

// It has taken nothing since it lost what several studies sent for the first time.
bool Scheduler::TakesNothing(const Destination& destination) const {
  std::size_t studies = 0;
  for (const StudyKey key : destination.set_back) {
    const auto& since = studies_.at(key).set_back_since;
    studies += !destination.answered_at || *destination.answered_at <= *since;
    if (studies >= kSeveralStudies) return true;
  }
  return false;
}

// --- outcomes

InstanceState Scheduler::StateAfter(StatusVerdict verdict, bool last_attempt, const Session* session) const {
  switch (verdict) {
    case StatusVerdict::kStored:
      return InstanceState::kStored;
    case StatusVerdict::kStoredWithWarning:
      return InstanceState::kStoredWithWarning;
    case StatusVerdict::kRefused:
      // Before anything was stored it may be about all that the session sends: then it ends, and this goes on with
      // it.
      if (session != nullptr && !StoredSome(*session) && !last_attempt) return InstanceState::kDelayed;
      return InstanceState::kFailed;
    case StatusVerdict::kRetry:
    case StatusVerdict::kRetrySlower:
      return last_attempt ? InstanceState::kFailed : InstanceState::kDelayed;
    case StatusVerdict::kFailed:
      break;
  }
  return InstanceState::kFailed;
}

InstanceChange Scheduler::Judge(const Reported& event, const OutcomeReported& reported, TimePoint now) const {
  const auto& [outcome, facts] = reported;
  const auto study = studies_.find(event.study);
  const Session* session = study == studies_.end() ? nullptr : &sessions_.at(study->second.session);
  InstanceChange change{.study = event.study,
                        .index = facts.index,
                        .state = InstanceState::kFailed,
                        .attempts = facts.attempts,
                        .status = {},
                        .reason = outcome.reason(),
                        .duration_us = outcome.duration_us(),
                        .may_be_stored = facts.may_be_stored || outcome.may_be_stored(),
                        .before = facts};
  if (outcome.kind() == wire::Outcome::NOT_SENDABLE) return change;
  if (outcome.kind() == wire::Outcome::UNREADABLE) {
    JudgeUnreadable(event, outcome.storage_away(), now, change);
    return change;
  }
  // A late report of a lost lease may be about the first sending; but an earlier or the present holder of the study
  // may have sent the instance, too.
  change.resend = facts.index < event.suspect_end || facts.may_be_stored;
  // While the destination is under suspicion, an instance that finds out that it still loses all is not to blame.
  const bool suspect = session != nullptr && IsSuspectProbe(destinations_.at(session->destination), event.lease);
  if (outcome.kind() == wire::Outcome::UNANSWERED || (IsLost(outcome) && suspect)) {
    change.state = facts.state;
    change.may_be_stored |= outcome.kind() == wire::Outcome::UNANSWERED;
    return change;
  }
  ++change.attempts;
  // While a session is not open, no attempt is the last one, because the session may be resumed.
  const bool last = session != nullptr && change.attempts >= session->attempts_max;
  if (outcome.kind() == wire::Outcome::ASSOCIATION_LOST) {
    change.state = StateAfter(StatusVerdict::kRetry, last, session);
    return change;
  }
  const auto status = static_cast<std::uint16_t>(outcome.status());
  change.status = status;
  change.state = StateAfter(JudgeStoreStatus(status), last, session);
  if (change.state == InstanceState::kStored) return change;
  change.reason = DescribeStatus(status);
  if (!outcome.reason().empty()) change.reason += ": " + outcome.reason();
  return change;
}

// It fails if no other worker is left that may read it, and storage that is away as a whole was waited for.
void Scheduler::JudgeUnreadable(const Reported& event, bool storage_away, TimePoint now,
                                InstanceChange& change) const {
  const auto lease = leases_.find(event.lease);
  const auto study = studies_.find(event.study);
  if (lease == leases_.end() || study == studies_.end()) return;
  const std::string& worker = lease->second.worker;
  const bool certain = !storage_away && AllMiss(study->second, worker);
  const bool waits = !certain && !StoragePatienceIsOver(study->second, now);
  if (waits || OthersMayRead(study->second, worker)) {
    change.state = InstanceState::kDelayed;
  } else {
    change.reason = NotReadableBy(study->second, worker, change.reason);
  }
}

// Every worker's storage is there, and this is not in it. An only worker may have another tree than those that come.
bool Scheduler::AllMiss(const Study& study, const std::string& worker) const {
  std::size_t readers = 0;
  for (const auto& [name, other] : workers_) {
    if (!MayReadFiles(other)) continue;
    ++readers;
    if (name != worker && !study.missed_by.contains(name)) return false;
  }
  return readers > 1 || !options_.workers_may_come;
}

// The wait begins when no other worker is left that may read it, and anew when there was one.
void Scheduler::NoteUnreadable(const Lease& lease, const wire::Outcome& outcome, TimePoint now) {
  Study& study = studies_.at(lease.study);
  Session& session = sessions_.at(study.session);
  if (OthersMayRead(study, lease.worker)) {
    study.unreadable_since.reset();
    session.unreadable_since.reset();
    return;
  }
  if (!study.unreadable_since) study.unreadable_since = now;
  if (!outcome.storage_away()) return;
  if (!session.unreadable_since) session.unreadable_since = now;
  session.unreadable_detail = outcome.reason();
}

void Scheduler::RecordOutcome(const Reported& event, const OutcomeReported& reported, TimePoint now, Output& out) {
  const auto lease = leases_.find(event.lease);
  const bool late = lease == leases_.end();
  const auto& [outcome, facts] = reported;
  if (!late && outcome.kind() == wire::Outcome::UNREADABLE) NoteUnreadable(lease->second, outcome, now);
  const InstanceChange change = Judge(event, reported, now);
  if (!late && outcome.kind() == wire::Outcome::RESPONDED) {
    NoteResponse(lease->second, JudgeStoreStatus(static_cast<std::uint16_t>(outcome.status())), now, out);
  }
  // What is settled stays so, with one exception: that the destination has stored it is a fact whenever it is told.
  const bool was_settled = IsSettled(facts.state);
  if (was_settled && (!IsStored(change.state) || IsStored(facts.state))) return;
  // Another worker may have the study by now: that this one could not send or read it says nothing about that one.
  if (late && !IsStored(change.state)) return;
  out.changes.push_back(change);
  const auto study = studies_.find(event.study);
  if (study == studies_.end() || was_settled) return;
  if (IsSettled(change.state)) --study->second.unsettled;
  if (late) return;
  lease->second.settled_some |= IsSettled(change.state);
  lease->second.lost_some |= IsLost(outcome);
  if (change.state != InstanceState::kDelayed) return;
  if (outcome.kind() == wire::Outcome::UNREADABLE) {
    lease->second.unreadable = change.reason;
    lease->second.storage_away |= outcome.storage_away();
  } else {
    lease->second.worst_attempts = std::max(lease->second.worst_attempts, change.attempts);
  }
}

// The destination has answered, so this worker reaches it; and the worker has read a file.
void Scheduler::NoteResponse(Lease& lease, StatusVerdict verdict, TimePoint now, Output& out) {
  Study& study = studies_.at(lease.study);
  const SessionKey session_key = study.session;
  Session& session = sessions_.at(session_key);
  Destination& destination = destinations_.at(session.destination);
  destination.served_leases += !lease.responded;
  lease.responded = true;
  DestinationAnswered(session.destination, lease.worker, now);
  session.answered_at = now;
  session.refused_workers.clear();
  session.refused_studies.clear();
  session.unreadable_since.reset();
  study.unreadable_since.reset();
  if (quarantine_.Succeed(lease.worker, session_key)) ReadAgain(lease.worker, now);
  session.readers.insert(lease.worker);
  if (!quarantine_.empty()) quarantine_.Confirm(session_key, now);
  if (verdict == StatusVerdict::kRetrySlower) SlowDown(destination, now);
  if (verdict == StatusVerdict::kRefused) NoteUnauthorized(lease, out);
  if (verdict != StatusVerdict::kStored && verdict != StatusVerdict::kStoredWithWarning) return;
  session.stored_some = true;
  session.unauthorized.clear();
}

void Scheduler::NoteUnauthorized(Lease& lease, Output& out) {
  lease.unauthorized = true;
  const SessionKey key = studies_.at(lease.study).session;
  Session& session = sessions_.at(key);
  if (StoredSome(session)) return;
  session.unauthorized.insert(lease.study);
  // Studies that are still to be found or tried may be taken.
  const auto live = static_cast<std::size_t>(std::count_if(session.unauthorized.begin(), session.unauthorized.end(),
                                                           [&](StudyKey study) { return studies_.contains(study); }));
  const bool all_tried = session.scan_complete && live == session.live_studies;
  const std::size_t wanted = all_tried ? kUnauthorizedStudiesMin : kUnauthorizedStudiesMax;
  if (session.unauthorized.size() < wanted) return;
  StartEnding(key, wire::SESSION_REFUSED,
              fmt::format("{} answered {} to different studies, and has stored nothing", session.destination,
                          DescribeStatus(0x0124)),
              out);
}

// --- leases that are over

void Scheduler::TakeBack(LeaseId id, const wire::GiveBack& give_back, TimePoint now, Output& out) {
  Lease lease = leases_.at(id);
  EndLease(id, true, out);
  lease.worst_attempts = std::max(lease.worst_attempts, PassOnUnreadable(lease, now, out));
  switch (give_back.reason()) {
    case wire::GiveBack::DONE:
      return TakeBackDone(lease, now);
    case wire::GiveBack::DESTINATION_TRANSIENT:
    case wire::GiveBack::DESTINATION_BUSY:
    case wire::GiveBack::DESTINATION_REJECTED:
    case wire::GiveBack::DESTINATION_REFUSED:
      return TakeBackOfDestination(lease, give_back, now, out);
    default:
      return PlaceAfterLease(lease.study, lease.worst_attempts, now);
  }
}

void Scheduler::TakeBackDone(const Lease& lease, TimePoint now) {
  const bool taken = lease.associated && !lease.lost_some;
  if (taken || lease.responded) DestinationAnswered(DestinationOf(lease), lease.worker, now);
  Study& study = studies_.at(lease.study);
  if (lease.unauthorized && !lease.settled_some) SetBack(study);
  // Given back as done although something is left: without any result, the same would only happen again at once.
  const bool fruitless = !lease.settled_some && lease.unreadable.empty();
  PlaceAfterLease(lease.study, std::max(lease.worst_attempts, std::uint32_t{fruitless}), now);
}

// Its association did not get through: because of the study, if a C-ECHO did.
void Scheduler::TakeBackOfDestination(const Lease& lease, const wire::GiveBack& give_back, TimePoint now,
                                      Output& out) {
  Study& study = studies_.at(lease.study);
  SetBack(study);
  if (!study.set_back_since) study.set_back_since = now;
  if (give_back.echo_answered()) return TurnAway(lease, give_back, now, out);
  if (!ConcludeRefusal(lease, give_back, out)) OutOfReach(lease, give_back, now, out);
  // Where the same worker is served at the same time, neither a breaker nor a quarantine keeps the study from being
  // tried again at once.
  const bool served = Serves(destinations_.at(DestinationOf(lease)), lease.worker);
  PlaceAfterLease(lease.study, std::max(lease.worst_attempts, served ? study.setbacks : 0), now);
}

void Scheduler::SetBack(Study& study) {
  Session& session = sessions_.at(study.session);
  session.untried_studies -= study.setbacks == 0;
  ++study.setbacks;
}

// The destination answers a C-ECHO, but not this study's association.
void Scheduler::TurnAway(const Lease& lease, const wire::GiveBack& give_back, TimePoint now, Output& out) {
  Study& study = studies_.at(lease.study);
  const Session& session = sessions_.at(study.session);
  Destination& destination = destinations_.at(session.destination);
  DestinationEchoed(session.destination, lease.worker, now);
  if (give_back.reason() == wire::GiveBack::DESTINATION_BUSY && destination.served_leases > 0) {
    LowerLimit(destination, now);  // it is busy with our own associations
    return PlaceAfterLease(lease.study, std::max(lease.worst_attempts, study.setbacks), now);
  }
  destination.set_back.insert(lease.study);
  NoteTurnedAway(lease, give_back.detail(), now, out);
  // That it takes our instances at all shows that a negotiation failed because of the study. Instances that were lost
  // on the way show less: the destination's storage may have failed since.
  const bool takes_nothing = lease.lost_some ? TakesNothing(destination)
                                             : destination.set_back.size() >= kSeveralStudies && !StoredSome(session);
  if (takes_nothing) {
    destination.detail = give_back.detail();
    destination.refuses = give_back.reason() != wire::GiveBack::DESTINATION_TRANSIENT;
    destination.trouble = TroubleKind::kTakesEcho;
    if (!destination.unreachable_since) destination.unreachable_since = now;
    if (lease.lost_some) OpenBreaker(destination, now);
    return PlaceAfterLease(lease.study, std::max(lease.worst_attempts, study.setbacks), now);
  }
  // The instances that were lost have used attempts of their own, so that some of them may fail and others not.
  if (lease.lost_some) return PlaceAfterLease(lease.study, std::max(lease.worst_attempts, 1U), now);
  ++study.attempts;
  // One that is rejected for now is not to blame as long as that may be so because the destination is busy.
  const bool may_be_busy =
      give_back.reason() == wire::GiveBack::DESTINATION_BUSY && now < *study.set_back_since + RetryFor(session);
  if (study.attempts < std::max(session.attempts_max, kStudyAttemptsMin) || may_be_busy) {
    return PlaceAfterLease(lease.study, std::max(lease.worst_attempts, study.attempts), now);
  }
  FailStudy(lease.study,
            fmt::format("the destination answers a C-ECHO, but did not take this study's association {} times: {}",
                        study.attempts, give_back.detail()),
            out);
}

// A worker that is turned away with study after study while others are served is itself the one that is not let in.
void Scheduler::NoteTurnedAway(const Lease& lease, const std::string& detail, TimePoint now, Output& out) {
  if (lease.responded) return;
  const std::string& name = DestinationOf(lease);
  const Destination& destination = destinations_.at(name);
  if (!IsTurnedAway(lease.worker, name)) turned_away_[{lease.worker, name}].insert(lease.study);
  if (!IsTurnedAway(lease.worker, name) || destination.served_leases == 0) return;
  if (!Serves(destination, lease.worker)) QuarantineWorker(lease.worker, name, detail, Blame::kCertain, now, out);
}

bool Scheduler::IsTurnedAway(const std::string& worker, const std::string& destination) const {
  const auto studies = turned_away_.find({worker, destination});
  return studies != turned_away_.end() && studies->second.size() >= kSeveralStudies;
}

// The destination does not know one of the AE titles, or not from this worker's address. That is its word to the
// session if no worker is accepted and nothing was ever stored. True: the session ends.
bool Scheduler::ConcludeRefusal(const Lease& lease, const wire::GiveBack& give_back, Output& out) {
  if (give_back.reason() != wire::GiveBack::DESTINATION_REFUSED) return false;
  const SessionKey key = studies_.at(lease.study).session;
  Session& session = sessions_.at(key);
  session.refused_workers.insert(lease.worker);
  session.refused_studies.insert(lease.study);
  const bool by_all = std::all_of(workers_.begin(), workers_.end(), [&](const auto& worker) {
    return worker.second.capacity == 0 || worker.second.draining || session.refused_workers.contains(worker.first);
  });
  const std::size_t wanted = std::min<std::size_t>(kRefusedStudies, session.live_studies);
  if (StoredSome(session) || !by_all || session.refused_studies.size() < wanted) return false;
  StartEnding(key, wire::SESSION_REFUSED, give_back.detail(), out);
  return true;
}

// A worker that is lost is an accident. Lost again and again without any result, it may be the study's doing, a file
// that kills every worker that decodes it. Such a study waits longer each time, and behind all others.
void Scheduler::PlaceAfterLoss(const Lease& lease, TimePoint now, Output& out) {
  const std::uint32_t unreadable = PassOnUnreadable(lease, now, out);
  Study& study = studies_.at(lease.study);
  study.losses = lease.settled_some ? 0 : study.losses + 1;
  const std::uint32_t repeated = study.losses > 0 ? study.losses - 1 : 0;
  if (repeated > 0) SetBack(study);
  PlaceAfterLease(lease.study, std::max({lease.worst_attempts, repeated, unreadable}), now);
}

void Scheduler::FailStudy(StudyKey key, std::string reason, Output& out) {
  Study& study = studies_.at(key);
  study.place = Place::kWaiting;
  if (study.unsettled > 0) out.changes.push_back(StudyFailed{.study = key, .reason = std::move(reason)});
  study.unsettled = 0;
  FinishStudyIfSettled(key);
}

// --- files that cannot be read

// The worker could not read some of the study, which another one may, or which may come back. Returns for how many
// attempts the study is to back off.
std::uint32_t Scheduler::PassOnUnreadable(const Lease& lease, TimePoint now, Output& out) {
  if (lease.unreadable.empty()) return 0;
  Study& study = studies_.at(lease.study);
  study.unreadable_by.insert(lease.worker);
  if (lease.storage_away) {
    study.missed_by.erase(lease.worker);
  } else {
    study.missed_by.insert(lease.worker);
  }
  partly_read_.insert(lease.study);
  SetBack(study);
  const bool nobody_left = NobodyLeftToRead(study.session, study.unreadable_by);
  if (!lease.responded) {
    sessions_.at(study.session).readers.erase(lease.worker);
    QuarantineWorker(lease.worker, study.session, lease.unreadable, BlameForFiles(lease, nobody_left), now, out);
  }
  if (!nobody_left) return 0;
  study.unreadable_by = {lease.worker};  // all of them may try again, this one last
  // Storage that is away as a whole is tried by one study at a time; a single file waits by itself.
  return lease.storage_away ? 1 : ++study.unreadable_tries;
}

// That files cannot be read may be the worker's fault, or the storage's; or theirs alone, until all had their turn.
Blame Scheduler::BlameForFiles(const Lease& lease, bool nobody_left) const {
  const SessionKey key = studies_.at(lease.study).session;
  if (OthersRead(key)) return Blame::kCertain;
  if (!nobody_left) return Blame::kLikely;
  return lease.storage_away && sessions_.at(key).untried_studies == 0 ? Blame::kCertain : Blame::kOpen;
}

// Other workers have read files of the session, and have not failed at it since.
bool Scheduler::OthersRead(SessionKey session) const {
  const auto& readers = sessions_.at(session).readers;
  return std::any_of(readers.begin(), readers.end(), [&](const std::string& name) {
    const auto worker = workers_.find(name);
    return worker != workers_.end() && MayReadFiles(worker->second);
  });
}

bool Scheduler::StoragePatienceIsOver(const Study& study, TimePoint now) const {
  const Session& session = sessions_.at(study.session);
  const auto patience_ends = StoragePatienceEnds(session);
  if (patience_ends && now >= *patience_ends) return true;
  if (!study.unreadable_since) return false;
  // An outage is waited for, but not a file that is missing while the storage is there, or while others are read.
  const bool is_outage = session.unreadable_since && !(session.answered_at > study.unreadable_since);
  const Duration alone = session.retry_for.value_or(options_.retry_for_unanswered);
  return now >= *study.unreadable_since + (is_outage ? RetryFor(session) : alone);
}

// The connected workers that may be able to read what this one cannot.
bool Scheduler::OthersMayRead(const Study& study, const std::string& worker) const {
  std::set<std::string> unreadable_by = study.unreadable_by;
  unreadable_by.insert(worker);
  return !NobodyLeftToRead(study.session, unreadable_by);
}

bool Scheduler::NobodyLeftToRead(SessionKey session, const std::set<std::string>& unreadable_by) const {
  return std::none_of(workers_.begin(), workers_.end(), [&](const auto& worker) {
    return MayReadFiles(worker.second) && !unreadable_by.contains(worker.first) &&
           !quarantine_.IsHopeless(worker.first, session);
  });
}

// Where one worker alone was asked, its reason says it all.
std::string Scheduler::NotReadableBy(const Study& study, const std::string& worker, const std::string& reason) const {
  std::set<std::string> names = study.unreadable_by;
  names.insert(worker);
  for (const auto& [name, other] : workers_) {
    if (MayReadFiles(other) && quarantine_.IsHopeless(name, study.session)) names.insert(name);
  }
  if (names.size() == 1) return reason;
  return fmt::format("not readable by workers {}: {}", fmt::join(names, ", "), reason);
}

// The worker was restarted, or its files are back: it may now read what it could not read before.
void Scheduler::ReadAgain(const std::string& worker, TimePoint now) {
  for (const StudyKey key : std::vector(partly_read_.begin(), partly_read_.end())) {
    Study& study = studies_.at(key);
    if (!study.unreadable_by.contains(worker)) continue;
    const bool ready = study.place == Place::kReady;
    const TimePoint since = ready ? study.since : now;
    if (ready) Unqueue(key);  // its group changes
    study.unreadable_by.erase(worker);
    study.missed_by.erase(worker);
    if (study.unreadable_by.empty()) partly_read_.erase(key);
    if (ready) MakeReady(key, since);
  }
}

void Scheduler::QuarantineWorker(const std::string& worker, const QuarantineSubject& subject,
                                 const std::string& reason, Blame blame, TimePoint now, Output& out) {
  if (!quarantine_.Fail(worker, subject, reason, blame, now)) return;
  out.quarantines.push_back({.worker = worker, .what = {.subject = subject, .reason = reason}});
}

}  // namespace dicom_sender
