// Handles the reported outcomes of instances. The rules are in scheduler.h.
#include <fmt/format.h>

#include <algorithm>

#include "coordinator/scheduler/scheduler.h"

namespace dicom_sender {
namespace {

// After this many different studies were answered "not authorized", the answer counts for the whole session. The
// minimum applies if all studies have been tried, otherwise the maximum.
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

// An association proves as much as a C-ECHO, unless it is from the worker that could not reach the destination last.
void Scheduler::NoteAssociation(Lease& lease, TimePoint now) {
  if (lease.associated) return;
  lease.associated = true;
  const std::string& name = DestinationOf(lease);
  if (destinations_.at(name).last_unreachable_from != lease.worker) DestinationEchoed(name, lease.worker, now);
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
  // A settled instance stays settled, unless a late report says that the destination has stored it.
  const bool was_settled = IsSettled(facts.state);
  if (was_settled && (!IsStored(change.state) || IsStored(facts.state))) return;
  // Another worker may hold the study by now. The failure of this worker says nothing about the other one.
  if (late && !IsStored(change.state)) return;
  out.changes.push_back(change);
  const auto study = studies_.find(event.study);
  if (study == studies_.end() || was_settled) return;
  if (IsSettled(change.state)) --study->second.unsettled;
  if (!late) NoteOutcome(lease->second, outcome, change);
}

void Scheduler::NoteOutcome(Lease& lease, const wire::Outcome& outcome, const InstanceChange& change) {
  lease.settled_some |= IsSettled(change.state);
  lease.lost_some |= IsLost(outcome);
  if (change.state != InstanceState::kDelayed) return;
  if (outcome.kind() == wire::Outcome::UNREADABLE) {
    lease.unreadable = change.reason;
    lease.storage_away |= outcome.storage_away();
  } else {
    lease.worst_attempts = std::max(lease.worst_attempts, change.attempts);
  }
}

InstanceChange Scheduler::Judge(const Reported& event, const OutcomeReported& reported, TimePoint now) const {
  const auto& [outcome, facts] = reported;
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
  // A late report of a lost lease may be about the first transfer. But an earlier holder or the current holder of the
  // study may have sent the instance, too.
  change.resend = facts.index < event.suspect_end || facts.may_be_stored;
  JudgeSent(event, outcome, facts.state, change);
  return change;
}

// Judges an instance that was sent at least in part. `before` is its current state.
void Scheduler::JudgeSent(const Reported& event, const wire::Outcome& outcome, InstanceState before,
                          InstanceChange& change) const {
  const auto study = studies_.find(event.study);
  const Session* session = study == studies_.end() ? nullptr : &sessions_.at(study->second.session);
  // The lease probes a destination that is suspected to lose everything, so an instance is not at fault if it is
  // lost.
  const bool suspect = session != nullptr && IsSuspectProbe(destinations_.at(session->destination), event.lease);
  if (outcome.kind() == wire::Outcome::UNANSWERED || (IsLost(outcome) && suspect)) {
    change.state = before;
    change.may_be_stored |= outcome.kind() == wire::Outcome::UNANSWERED;
    return;
  }
  ++change.attempts;
  // While a session is not open, no attempt is the last one, because the session may be resumed.
  const bool last = session != nullptr && change.attempts >= session->attempts_max;
  if (outcome.kind() == wire::Outcome::ASSOCIATION_LOST) {
    change.state = StateAfter(StatusVerdict::kRetry, last, session);
    return;
  }
  const auto status = static_cast<std::uint16_t>(outcome.status());
  change.status = status;
  change.state = StateAfter(JudgeStoreStatus(status), last, session);
  if (change.state == InstanceState::kStored) return;
  change.reason = DescribeStatus(status);
  if (!outcome.reason().empty()) change.reason += ": " + outcome.reason();
}

InstanceState Scheduler::StateAfter(StatusVerdict verdict, bool last_attempt, const Session* session) const {
  switch (verdict) {
    case StatusVerdict::kStored:
      return InstanceState::kStored;
    case StatusVerdict::kStoredWithWarning:
      return InstanceState::kStoredWithWarning;
    case StatusVerdict::kRefused:
      // Before anything was stored, the answer may apply to the whole session. In that case the session ends, and the
      // instance stays unsettled.
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

// The response shows that this worker can reach the destination and can read files.
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
  // The destination may accept studies that have not been found or tried yet.
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

}  // namespace dicom_sender
