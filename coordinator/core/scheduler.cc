#include "coordinator/core/scheduler.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "dicom/dimse_status.h"

namespace dicom_sender {
namespace {

InstanceState StateOf(StatusVerdict verdict, bool last_attempt) {
  switch (verdict) {
    case StatusVerdict::kStored:
      return InstanceState::kStored;
    case StatusVerdict::kStoredWithWarning:
      return InstanceState::kStoredWithWarning;
    case StatusVerdict::kRetry:
    case StatusVerdict::kRetrySlower:
      return last_attempt ? InstanceState::kFailed : InstanceState::kDelayed;
    case StatusVerdict::kFailed:
    case StatusVerdict::kRefused:
      break;
  }
  return InstanceState::kFailed;
}

bool IsLost(const wire::Outcome& outcome) {
  return outcome.kind() == wire::Outcome::ASSOCIATION_LOST || outcome.kind() == wire::Outcome::UNANSWERED;
}

// nullopt: the destination did not answer.
std::optional<StatusVerdict> VerdictOf(const wire::Outcome& outcome) {
  if (outcome.kind() != wire::Outcome::RESPONDED) return std::nullopt;
  return JudgeStoreStatus(static_cast<std::uint16_t>(outcome.status()));
}

bool IsStored(InstanceState state) {
  return state == InstanceState::kStored || state == InstanceState::kStoredWithWarning;
}

}  // namespace

Scheduler::Scheduler(SchedulerOptions options, LeaseId last_lease)
    : options_(options), last_lease_(std::max(last_lease, options.leases_above)), random_(options.seed) {}

Output Scheduler::Step(const Event& event, TimePoint now) {
  Output out;
  std::visit([&](const auto& e) { On(e, now, out); }, event);
  ExpireLeases(now, out);
  ForgetSilentWorkers(now);
  EndBackoffs(now);
  AdvanceDestinations(now);
  EndSessions(now, out);
  Grant(now, out);
  ResendGrants(now, out);
  out.wake_at = NextDeadline();
  return out;
}

// --- sessions and their feed

std::uint32_t Scheduler::AttemptsMax(const SessionOpened& event) const {
  const std::uint32_t wanted = std::max(event.attempts_max, 1U);
  return options_.attempts_max == 0 ? wanted : std::min(wanted, options_.attempts_max);
}

void Scheduler::On(const SessionOpened& event, TimePoint now, Output&) {
  if (sessions_.contains(event.session)) return;
  ++destinations_[event.destination].sessions;
  sessions_[event.session] = Session{.destination = event.destination,
                                     .calling_ae = event.calling_ae,
                                     .dispatch_as_found = event.dispatch_as_found,
                                     .scan_complete = event.scan_complete,
                                     .attempts_max = AttemptsMax(event),
                                     .retry_for = event.retry_for,
                                     .opened = now,
                                     .ending = {}};
}

void Scheduler::On(const StudiesFed& event, TimePoint now, Output&) {
  auto session = sessions_.find(event.session);
  if (session == sessions_.end()) return;
  for (const StudyFeed& feed : event.studies) Feed(event.session, session->second, feed, now);
}

void Scheduler::Feed(SessionKey key, Session& session, const StudyFeed& feed, TimePoint now) {
  if (feed.pending == 0) return;
  auto [it, is_new] = studies_.try_emplace(feed.study);
  Study& study = it->second;
  if (is_new) {
    study.session = key;
    study.since = now;
    ++session.live_studies;
  }
  const bool was_ready = study.place == Place::kReady;
  const TimePoint since = was_ready ? study.since : now;
  if (was_ready) Unqueue(feed.study);  // its place in the queue goes by its bytes
  study.unsettled += feed.pending;
  study.bytes += feed.pending_bytes;
  const bool may_go = session.scan_complete || session.dispatch_as_found;
  if (was_ready || (study.place == Place::kWaiting && may_go)) MakeReady(feed.study, since);
}

void Scheduler::On(const LeaseRestored& event, TimePoint now, Output& out) {
  const auto session = sessions_.find(event.session);
  if (session == sessions_.end() || leases_.contains(event.lease)) return;
  // A worker that has been heard of since and did not list it does not hold it.
  const auto worker = workers_.find(event.worker);
  if (worker == workers_.end()) {
    ChangeWorker(event.worker, [now](Worker& w) { w.last_seen = now; });
  } else if (worker->second.incarnation && !worker->second.listed.contains(event.lease)) {
    out.changes.push_back(LeaseEnded{.study = event.study, .clean = false});
    return;
  }
  const auto [study, is_new] = studies_.try_emplace(event.study);
  if (is_new) ++session->second.live_studies;
  study->second.session = event.session;
  study->second.place = Place::kLeased;
  study->second.since = now;
  last_lease_ = std::max(last_lease_, event.lease);
  AddLease(event.lease, event.session,
           Lease{.study = event.study,
                 .worker = event.worker,
                 .expires_at = now + options_.lease_ttl,
                 .grant_sent = now,
                 .held = true,
                 .restored = true});
}

void Scheduler::On(const ScanCompleted& event, TimePoint now, Output& out) {
  auto it = sessions_.find(event.session);
  if (it == sessions_.end() || it->second.scan_complete) return;
  it->second.scan_complete = true;
  out.changes.push_back(SessionChanged{.session = event.session, .state = wire::SESSION_SENDING, .reason = {}});
  for (const auto& [key, study] : studies_) {
    if (study.session == event.session && study.place == Place::kWaiting) MakeReady(key, now);
  }
}

void Scheduler::On(const ScanBegun& event, TimePoint, Output& out) {
  auto it = sessions_.find(event.session);
  if (it == sessions_.end() || !it->second.scan_complete) return;
  it->second.scan_complete = false;
  out.changes.push_back(SessionChanged{.session = event.session, .state = wire::SESSION_SCANNING, .reason = {}});
}

void Scheduler::On(const SuspendRequested& event, TimePoint, Output& out) {
  StartEnding(event.session, wire::SESSION_SUSPENDED, {}, out);
}

void Scheduler::On(const CancelRequested& event, TimePoint, Output& out) {
  StartEnding(event.session, wire::SESSION_CANCELLED, event.reason, out);
}

void Scheduler::StartEnding(SessionKey key, wire::SessionState state, std::string reason, Output& out) {
  auto it = sessions_.find(key);
  if (it == sessions_.end()) return;
  // One that comes to its end in peace may still be ended at once.
  if (it->second.ending && (EndsBadly(it->second.ending->state) || !EndsBadly(state))) return;
  it->second.ending = Ending{state, std::move(reason)};
  for (const auto& [study_key, study] : studies_) {
    if (study.session == key) Unqueue(study_key);
  }
  if (!EndsBadly(state)) return;  // a suspended session's leases may come to their end
  std::map<std::string, StatusReply> revocations;
  for (auto& [id, lease] : leases_) {
    if (studies_.at(lease.study).session != key) continue;
    StopResending(id, lease);
    lease.revoked = true;
    revocations[lease.worker].revoked.push_back(id);
  }
  for (auto& [worker, reply] : revocations) {
    reply.worker = worker;
    out.replies.push_back(std::move(reply));
  }
}

void Scheduler::EndSessions(TimePoint now, Output& out) {
  for (auto& [key, session] : sessions_) {
    const Destination& destination = destinations_.at(session.destination);
    if (session.ending || destination.live_leases > 0) continue;
    if (const auto patience_ends = PatienceEnds(session); !patience_ends || now < *patience_ends) continue;
    StartEnding(key, wire::SESSION_UNREACHABLE, destination.detail, out);
  }
  for (auto it = sessions_.begin(); it != sessions_.end();) {
    Session& session = it->second;
    if (!session.ending && session.scan_complete && session.live_studies == 0) {
      session.ending = Ending{wire::SESSION_COMPLETE, {}};
    }
    if (!session.ending || session.live_leases > 0) {
      ++it;
      continue;
    }
    // A session that had everything settled when it was told to stop is complete all the same.
    const bool complete = session.scan_complete && session.live_studies == 0;
    out.changes.push_back(SessionChanged{.session = it->first,
                                         .state = complete ? wire::SESSION_COMPLETE : session.ending->state,
                                         .reason = complete ? std::string() : session.ending->reason});
    if (session.live_studies > 0) {
      std::erase_if(studies_, [&](const auto& entry) {
        if (entry.second.session != it->first) return false;
        Unqueue(entry.first);
        return true;
      });
    }
    // Whoever comes next to a destination that nobody uses finds out for himself how it is.
    const auto destination = destinations_.find(session.destination);
    if (--destination->second.sessions == 0) destinations_.erase(destination);
    it = sessions_.erase(it);
  }
}

std::optional<TimePoint> Scheduler::PatienceEnds(const Session& session) const {
  const auto& since = destinations_.at(session.destination).unreachable_since;
  if (!since) return std::nullopt;
  return std::max(*since, session.opened) + session.retry_for;
}

// --- workers and leases

void Scheduler::On(const WorkerSeen& event, TimePoint now, Output& out) {
  if (IsOvertaken(event)) return;
  const Worker& known = workers_[event.worker];
  const bool same_life = !known.incarnation || *known.incarnation == event.incarnation;
  StatusReply reply{.worker = event.worker, .renewed = {}, .revoked = {}};
  std::set<LeaseId> held;
  for (const auto& [id, progressed] : event.held) {
    auto it = leases_.find(id);
    const bool theirs = it != leases_.end() && it->second.worker == event.worker && !it->second.revoked && same_life;
    held.insert(id);
    if (!theirs) {
      reply.revoked.push_back(id);
      continue;
    }
    Lease& lease = it->second;
    if (progressed || !lease.held) {
      SetExpiry(id, lease, now + options_.lease_ttl);
      reply.renewed.push_back(id);
    }
    StopResending(id, lease);
    lease.held = true;
    lease.restored = false;
  }
  // What an earlier incarnation held died with it. A revoked lease is over when the worker has let go of it, and so
  // is one of the last coordinator's time that the worker does not know of.
  std::vector<LeaseId> gone;
  for (const LeaseId id : known.leases) {
    const Lease& lease = leases_.at(id);
    const bool let_go = (lease.revoked || lease.restored) && !held.contains(id);
    if (!same_life || let_go) gone.push_back(id);
  }
  for (LeaseId id : gone) {
    const Lease lease = leases_.at(id);
    EndLease(id, false, out);
    PlaceAfterLoss(lease, now);
  }
  ChangeWorker(event.worker, [&](Worker& worker) {
    if (!same_life) worker.drain_requested = false;
    worker.incarnation = event.incarnation;
    worker.seq = event.seq;
    worker.listed = std::move(held);
    worker.capacity = event.capacity;
    worker.draining = event.draining || worker.drain_requested;
    worker.last_seen = now;
    reply.drain = worker.drain_requested;
  });
  out.replies.push_back(std::move(reply));
}

void Scheduler::On(const DrainRequested& event, TimePoint, Output& out) {
  if (!workers_.contains(event.worker)) return;
  ChangeWorker(event.worker, [](Worker& worker) { worker.drain_requested = worker.draining = true; });
  out.replies.push_back(StatusReply{.worker = event.worker, .renewed = {}, .revoked = {}, .drain = true});
}

// Overtaken by a later one, or from a life of the worker that is over: what it says was true once.
void Scheduler::ForgetSilentWorkers(TimePoint now) {
  while (!idle_workers_.empty() && now >= idle_workers_.begin()->first + options_.lease_ttl) {
    const auto worker = workers_.find(idle_workers_.begin()->second);
    free_workers_.erase({FreePlaces(worker->second), &worker->first});
    idle_workers_.erase(idle_workers_.begin());
    workers_.erase(worker);
  }
}

std::uint32_t Scheduler::FreePlaces(const Worker& worker) {
  const auto leases = static_cast<std::uint32_t>(worker.leases.size());
  return worker.draining || leases >= worker.capacity ? 0 : worker.capacity - leases;
}

// A worker that is new, too; its place in the order of the others follows the change.
template <class Change>
void Scheduler::ChangeWorker(const std::string& name, Change change) {
  const auto entry = workers_.try_emplace(name).first;
  Worker& worker = entry->second;
  free_workers_.erase({FreePlaces(worker), &entry->first});
  if (worker.leases.empty()) idle_workers_.erase({worker.last_seen, name});
  change(worker);
  if (const auto places = FreePlaces(worker); places > 0) free_workers_.insert({places, &entry->first});
  if (worker.leases.empty()) idle_workers_.insert({worker.last_seen, name});
}

void Scheduler::AddLease(LeaseId id, SessionKey session_key, Lease lease) {
  Session& session = sessions_.at(session_key);
  ++session.live_leases;
  ++destinations_.at(session.destination).live_leases;
  ChangeWorker(lease.worker, [id](Worker& worker) { worker.leases.insert(id); });
  lease_ends_.insert({lease.expires_at, id});
  if (!lease.held) unheld_.insert({lease.grant_sent, id});
  leases_.emplace(id, std::move(lease));
}

void Scheduler::SetExpiry(LeaseId id, Lease& lease, TimePoint expires_at) {
  lease_ends_.erase({lease.expires_at, id});
  lease.expires_at = expires_at;
  lease_ends_.insert({expires_at, id});
}

void Scheduler::StopResending(LeaseId id, const Lease& lease) { unheld_.erase({lease.grant_sent, id}); }

void Scheduler::EndLease(LeaseId id, bool clean, Output& out) {
  auto it = leases_.find(id);
  const Lease& lease = it->second;
  Session& session = sessions_.at(studies_.at(lease.study).session);
  Destination& destination = destinations_.at(session.destination);
  --session.live_leases;
  --destination.live_leases;
  destination.served_leases -= lease.responded;
  // A probe that ended without an answer leaves the breaker open; the next study may probe at once.
  if (destination.breaker == Breaker::kProbing && destination.probe == id) destination.breaker = Breaker::kOpen;
  ChangeWorker(lease.worker, [id](Worker& worker) { worker.leases.erase(id); });
  lease_ends_.erase({lease.expires_at, id});
  StopResending(id, lease);
  out.changes.push_back(LeaseEnded{.study = lease.study, .clean = clean});
  leases_.erase(it);
}

void Scheduler::ExpireLeases(TimePoint now, Output& out) {
  while (!lease_ends_.empty() && now >= lease_ends_.begin()->first) {
    const LeaseId id = lease_ends_.begin()->second;
    const Lease lease = leases_.at(id);
    ++leases_expired_;
    EndLease(id, false, out);
    PlaceAfterLoss(lease, now);
  }
}

// Each in turn, by name: where the trouble is one worker's alone, it must not be the only one that is asked. Some
// worker is free.
const std::string& Scheduler::NextToProbe(const Destination& destination) const {
  const auto is_free = [](const auto& entry) { return FreePlaces(entry.second) > 0; };
  const auto after = workers_.upper_bound(destination.tried_by);
  const auto next = std::find_if(after, workers_.end(), is_free);
  return next != workers_.end() ? next->first : std::find_if(workers_.begin(), workers_.end(), is_free)->first;
}

void Scheduler::Grant(TimePoint now, Output& out) {
  for (auto& [name, destination] : destinations_) {
    while (!destination.ready.empty() && MayGrant(destination)) {
      if (free_workers_.empty()) return;
      const std::string& worker =
          destination.breaker == Breaker::kOpen ? NextToProbe(destination) : *free_workers_.begin()->name;
      const StudyKey key = destination.ready.begin()->study;
      destination.ready.erase(destination.ready.begin());
      Study& study = studies_.at(key);
      out.queue_waits.push_back(now - study.since);
      study.place = Place::kLeased;
      study.since = now;
      const LeaseId id = ++last_lease_;
      AddLease(id, study.session,
               Lease{.study = key, .worker = worker, .expires_at = now + options_.lease_ttl, .grant_sent = now});
      if (destination.breaker == Breaker::kOpen) {
        destination.breaker = Breaker::kProbing;
        destination.probe = id;
      }
      out.changes.push_back(
          LeaseGranted{.study = key, .lease = id, .worker = worker, .worker_capacity = workers_.at(worker).capacity});
      out.replies.push_back(GrantReply{.worker = worker, .lease = id, .study = key, .session = study.session});
    }
  }
}

void Scheduler::ResendGrants(TimePoint now, Output& out) {
  while (!unheld_.empty() && now >= unheld_.begin()->first + options_.grant_resend) {
    const LeaseId id = unheld_.begin()->second;
    Lease& lease = leases_.at(id);
    unheld_.erase(unheld_.begin());
    lease.grant_sent = now;
    unheld_.insert({now, id});
    out.replies.push_back(GrantReply{
        .worker = lease.worker, .lease = id, .study = lease.study, .session = studies_.at(lease.study).session});
  }
}

// --- outcomes

void Scheduler::On(const Reported& event, TimePoint now, Output& out) {
  const bool live = leases_.contains(event.lease);
  if (!live) late_outcomes_ += event.outcomes.size();
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

InstanceChange Scheduler::Judge(const Reported& event, const OutcomeReported& reported,
                                std::uint32_t attempts_max) const {
  const auto& [outcome, facts] = reported;
  InstanceChange change{.study = event.study,
                        .index = facts.index,
                        .state = InstanceState::kFailed,
                        .attempts = facts.attempts,
                        .status = {},
                        .reason = outcome.reason(),
                        .duration_us = outcome.duration_us(),
                        // Told late by the lost lease itself it may be the first sending; but whoever had the study
                        // before or has it now may have sent it, too.
                        .resend = outcome.kind() != wire::Outcome::NOT_SENDABLE &&
                                  (facts.index < event.suspect_end || facts.may_be_stored),
                        .may_be_stored = facts.may_be_stored || outcome.may_be_stored()};
  if (outcome.kind() == wire::Outcome::NOT_SENDABLE) return change;
  if (outcome.kind() == wire::Outcome::UNANSWERED) {
    change.state = facts.state;
    change.may_be_stored = true;
    return change;
  }
  ++change.attempts;
  const bool last = change.attempts >= attempts_max;
  if (outcome.kind() == wire::Outcome::ASSOCIATION_LOST) {
    change.state = StateOf(StatusVerdict::kRetry, last);
    return change;
  }
  const auto status = static_cast<std::uint16_t>(outcome.status());
  change.status = status;
  change.state = StateOf(JudgeStoreStatus(status), last);
  if (change.state == InstanceState::kStored) return change;
  change.reason = DescribeStatus(status);
  if (!outcome.reason().empty()) change.reason += ": " + outcome.reason();
  return change;
}

void Scheduler::RecordOutcome(const Reported& event, const OutcomeReported& reported, TimePoint now, Output& out) {
  auto lease = leases_.find(event.lease);
  auto study = studies_.find(event.study);
  const bool in_memory = study != studies_.end();
  Session* session = in_memory ? &sessions_.at(study->second.session) : nullptr;
  Destination* destination = session ? &destinations_.at(session->destination) : nullptr;
  const bool responded = reported.outcome.kind() == wire::Outcome::RESPONDED;
  if (destination && responded) {
    if (lease != leases_.end()) {
      destination->served_leases += !lease->second.responded;
      lease->second.responded = true;
      DestinationAnswered(*destination);
    }
    if (VerdictOf(reported.outcome) == StatusVerdict::kRetrySlower) SlowDown(*destination, now);
  }
  // It is not the instance that was refused: it stays as it is, and its session ends with the give-back.
  if (VerdictOf(reported.outcome) == StatusVerdict::kRefused) return;
  // Of a session that is not open, nothing is tried for the last time: it may go on.
  const InstanceChange change = Judge(event, reported, session ? session->attempts_max : UINT32_MAX);
  // What is settled stays so, with one exception: that the destination has stored it is a fact whenever it is told.
  const bool was_settled = IsSettled(reported.facts.state);
  const bool fact = IsStored(change.state) && !IsStored(reported.facts.state);
  if (was_settled && !fact) return;
  if (!was_settled && !IsSettled(change.state) && lease == leases_.end()) return;  // tried again anyway
  out.changes.push_back(change);
  if (!in_memory || was_settled) return;
  if (IsSettled(change.state)) --study->second.unsettled;
  if (lease == leases_.end()) return;
  lease->second.settled_some |= IsSettled(change.state);
  lease->second.lost_some |= IsLost(reported.outcome);
  if (change.state == InstanceState::kDelayed) {
    lease->second.worst_attempts = std::max(lease->second.worst_attempts, change.attempts);
  }
}

void Scheduler::TakeBack(LeaseId id, const wire::GiveBack& give_back, TimePoint now, Output& out) {
  const Lease lease = leases_.at(id);
  const SessionKey session_key = studies_.at(lease.study).session;
  Destination& destination = destinations_.at(sessions_.at(session_key).destination);
  EndLease(id, true, out);
  switch (give_back.reason()) {
    case wire::GiveBack::DONE:
      // It had an association, or nothing to send at all.
      if ((lease.worst_attempts == 0 && !lease.lost_some) || lease.responded) DestinationAnswered(destination);
      break;
    case wire::GiveBack::DESTINATION_TRANSIENT:
      ++studies_.at(lease.study).setbacks;
      DestinationFailed(destination, lease, give_back.detail(), now);
      break;
    case wire::GiveBack::DESTINATION_REFUSED:
      destination.detail = give_back.detail();
      for (auto& [key, session] : sessions_) {
        if (&destinations_.at(session.destination) != &destination) continue;
        if (session.calling_ae != sessions_.at(session_key).calling_ae) continue;  // another name may be welcome
        StartEnding(key, wire::SESSION_REFUSED, give_back.detail(), out);
      }
      break;
    default:
      break;
  }
  // Given back as done although something is left: without any result, the same would only happen again at once.
  const bool fruitless = give_back.reason() == wire::GiveBack::DONE && !lease.settled_some;
  PlaceAfterLease(lease.study, std::max(lease.worst_attempts, std::uint32_t{fruitless}), now);
}

// A worker that is lost is an accident. Lost again and again without any result, it may be the study's doing, a file
// that kills whoever decodes it: it must not take one worker after the other, nor be the first to get each.
void Scheduler::PlaceAfterLoss(const Lease& lease, TimePoint now) {
  Study& study = studies_.at(lease.study);
  study.losses = lease.settled_some ? 0 : study.losses + 1;
  const std::uint32_t repeated = study.losses > 0 ? study.losses - 1 : 0;
  if (repeated > 0) ++study.setbacks;
  PlaceAfterLease(lease.study, std::max(lease.worst_attempts, repeated), now);
}

// `attempts`: as often something of it was tried in vain; 0: it may go at once.
void Scheduler::PlaceAfterLease(StudyKey key, std::uint32_t attempts, TimePoint now) {
  Study& study = studies_.at(key);
  study.place = Place::kWaiting;
  if (study.unsettled == 0) {
    FinishStudyIfSettled(key);
  } else if (attempts > 0) {
    BackOff(key, attempts, now);
  } else {
    MakeReady(key, now);
  }
}

void Scheduler::FinishStudyIfSettled(StudyKey key) {
  auto it = studies_.find(key);
  if (it == studies_.end() || it->second.unsettled > 0 || it->second.place == Place::kLeased) return;
  Unqueue(key);
  --sessions_.at(it->second.session).live_studies;
  studies_.erase(it);
  ++studies_done_;
}

// --- where studies wait

void Scheduler::MakeReady(StudyKey key, TimePoint since) {
  Study& study = studies_.at(key);
  const Session& session = sessions_.at(study.session);
  study.since = since;
  study.place = Place::kWaiting;
  if (session.ending) return;
  study.place = Place::kReady;
  destinations_.at(session.destination).ready.insert({study.setbacks, study.bytes, key});
}

void Scheduler::BackOff(StudyKey key, std::uint32_t attempts, TimePoint now) {
  Study& study = studies_.at(key);
  if (sessions_.at(study.session).ending) return;
  study.place = Place::kBackingOff;
  study.since = now + Jittered(options_.retry_backoff_min, options_.retry_backoff_max, attempts - 1);
  backing_off_.insert({study.since, key});
}

void Scheduler::Unqueue(StudyKey key) {
  Study& study = studies_.at(key);
  if (study.place == Place::kBackingOff) backing_off_.erase({study.since, key});
  if (study.place == Place::kReady) {
    destinations_.at(sessions_.at(study.session).destination).ready.erase({study.setbacks, study.bytes, key});
  }
  if (study.place != Place::kLeased) study.place = Place::kWaiting;
}

void Scheduler::EndBackoffs(TimePoint now) {
  while (!backing_off_.empty() && backing_off_.begin()->first <= now) {
    const StudyKey key = backing_off_.begin()->second;
    backing_off_.erase(backing_off_.begin());
    MakeReady(key, now);
  }
}

Duration Scheduler::Jittered(Duration min, Duration max, std::uint32_t doublings) {
  const Duration cap = std::min(max, min * (std::int64_t{1} << std::min(doublings, 20U)));
  return Duration(std::uniform_int_distribution<Duration::rep>(0, cap.count())(random_));
}

// --- destinations

void Scheduler::DestinationAnswered(Destination& destination) {
  destination.breaker = Breaker::kClosed;
  destination.failures = 0;
  destination.unreachable_since.reset();
}

void Scheduler::DestinationFailed(Destination& destination, const Lease& lease, const std::string& detail,
                                  TimePoint now) {
  destination.detail = detail;
  destination.tried_by = lease.worker;
  if (destination.served_leases > 0) {  // it takes no more associations than these; that is not an outage
    destination.limit = std::max(1U, destination.live_leases);
    destination.limit_changed = now;
    return;
  }
  // Associations that were tried together fail together: only the first of them counts. And whether the destination
  // is back is what its probe finds out, not one that was tried before.
  if (destination.breaker == Breaker::kOpen && destination.retry_at > now) return;
  if (destination.breaker == Breaker::kProbing) return;
  if (!destination.unreachable_since) destination.unreachable_since = now;
  destination.breaker = Breaker::kOpen;
  destination.limit.reset();
  // Half of the span is certain: a probe at once would only repeat what was just seen.
  const Duration jittered =
      Jittered(options_.breaker_backoff_min, options_.breaker_backoff_max, destination.failures);
  destination.retry_at = now + options_.breaker_backoff_min / 2 + jittered;
  ++destination.failures;
}

void Scheduler::SlowDown(Destination& destination, TimePoint now) {
  if (destination.limit && now < destination.limit_changed + options_.slow_down_min) return;
  destination.limit = std::max(1U, std::min(destination.limit.value_or(UINT32_MAX), destination.live_leases) / 2);
  destination.limit_changed = now;
}

void Scheduler::AdvanceDestinations(TimePoint now) {
  for (auto& [name, destination] : destinations_) {
    if (!destination.limit || now < destination.limit_changed + options_.speed_up) continue;
    std::uint32_t capacity = 0;
    for (const auto& [worker_name, worker] : workers_) capacity += worker.capacity;
    ++*destination.limit;
    destination.limit_changed = now;
    if (*destination.limit >= capacity) destination.limit.reset();
  }
  // MayGrant has no clock: an open breaker whose time has come is one that may be probed.
  for (auto& [name, destination] : destinations_) {
    if (destination.breaker == Breaker::kOpen && now >= destination.retry_at) destination.retry_at = TimePoint::min();
  }
}

bool Scheduler::MayGrant(const Destination& destination) const {
  switch (destination.breaker) {
    case Breaker::kClosed: {
      const auto limit = LimitOf(destination);
      return !limit || destination.live_leases < *limit;
    }
    case Breaker::kOpen:
      return destination.retry_at == TimePoint::min();
    case Breaker::kProbing:
      return false;
  }
  return false;
}

std::optional<std::uint32_t> Scheduler::LimitOf(const Destination& destination) const {
  if (options_.associations_max == 0) return destination.limit;
  return std::min(options_.associations_max, destination.limit.value_or(UINT32_MAX));
}

// --- what others may know

std::optional<StudyKey> Scheduler::StudyOf(LeaseId id) const {
  auto it = leases_.find(id);
  return it == leases_.end() || it->second.revoked ? std::nullopt : std::optional(it->second.study);
}

std::uint64_t Scheduler::LiveLeases(SessionKey session) const {
  const auto it = sessions_.find(session);
  return it == sessions_.end() ? 0 : it->second.live_leases;
}

bool Scheduler::IsEnding(SessionKey session) const {
  const auto it = sessions_.find(session);
  return it != sessions_.end() && it->second.ending;
}

std::string Scheduler::Trouble(SessionKey session, TimePoint now) const {
  auto it = sessions_.find(session);
  return it == sessions_.end() ? std::string() : TroubleOf(destinations_.at(it->second.destination), now);
}

std::string Scheduler::TroubleOf(const Destination& destination, TimePoint now) {
  if (destination.breaker == Breaker::kProbing) return destination.detail + "; trying again";
  if (destination.breaker == Breaker::kOpen) {
    const auto wait = destination.retry_at > now ? destination.retry_at - now : Duration(0);
    return fmt::format("{}; trying again in {} s", destination.detail,
                       std::chrono::ceil<std::chrono::seconds>(wait).count());
  }
  if (destination.limit) return fmt::format("the destination is busy: at most {} associations", *destination.limit);
  return {};
}

bool Scheduler::IsSuperseded(const std::string& worker, std::uint64_t incarnation) const {
  const auto it = workers_.find(worker);
  return it != workers_.end() && it->second.incarnation && incarnation < *it->second.incarnation;
}

bool Scheduler::IsOvertaken(const WorkerSeen& seen) const {
  const auto it = workers_.find(seen.worker);
  if (it == workers_.end() || !it->second.incarnation) return false;
  return std::pair(seen.incarnation, seen.seq) < std::pair(*it->second.incarnation, it->second.seq);
}

std::vector<WorkerView> Scheduler::Workers(TimePoint now) const {
  std::vector<WorkerView> views;
  for (const auto& [name, worker] : workers_) {
    views.push_back({.worker = name,
                     .capacity = worker.capacity,
                     .leases = static_cast<std::uint32_t>(worker.leases.size()),
                     .draining = worker.draining,
                     .last_seen = now - worker.last_seen});
  }
  return views;
}

std::vector<DestinationView> Scheduler::Destinations(TimePoint now) const {
  std::vector<DestinationView> views;
  for (const auto& [name, destination] : destinations_) {
    views.push_back({.destination = name,
                     .leases = destination.live_leases,
                     .ready = destination.ready.size(),
                     .limit = LimitOf(destination),
                     .breaker_open = destination.breaker != Breaker::kClosed,
                     .trouble = TroubleOf(destination, now)});
  }
  return views;
}

SchedulerStats Scheduler::Stats() const {
  SchedulerStats stats{.studies_done = studies_done_,
                       .leases_expired = leases_expired_,
                       .late_outcomes = late_outcomes_,
                       .workers_connected = workers_.size()};
  stats.studies_leased = leases_.size();
  stats.studies_delayed = backing_off_.size();
  stats.studies_pending = studies_.size() - stats.studies_leased - stats.studies_delayed;
  for (const auto& [name, destination] : destinations_)
    stats.breakers_open += destination.breaker != Breaker::kClosed;
  return stats;
}

std::optional<TimePoint> Scheduler::NextDeadline() const {
  std::optional<TimePoint> next;
  auto at = [&next](TimePoint time) { next = next ? std::min(*next, time) : time; };
  if (!lease_ends_.empty()) at(lease_ends_.begin()->first);
  if (!unheld_.empty()) at(unheld_.begin()->first + options_.grant_resend);
  if (!backing_off_.empty()) at(backing_off_.begin()->first);
  for (const auto& [name, destination] : destinations_) {
    if (destination.limit) at(destination.limit_changed + options_.speed_up);
    if (destination.breaker == Breaker::kOpen && destination.retry_at != TimePoint::min()) at(destination.retry_at);
  }
  for (const auto& [key, session] : sessions_) {
    const Destination& destination = destinations_.at(session.destination);
    if (session.ending || destination.live_leases > 0) continue;
    if (const auto patience_ends = PatienceEnds(session)) at(*patience_ends);
  }
  if (!idle_workers_.empty()) at(idle_workers_.begin()->first + options_.lease_ttl);
  return next;
}

std::optional<TimePoint> Scheduler::BacksOffUntil(StudyKey key) const {
  const auto it = studies_.find(key);
  return it != studies_.end() && it->second.place == Place::kBackingOff ? std::optional(it->second.since)
                                                                        : std::nullopt;
}

std::optional<TimePoint> Scheduler::ProbesAt(const std::string& name) const {
  const auto it = destinations_.find(name);
  const bool waits = it != destinations_.end() && it->second.breaker == Breaker::kOpen;
  return waits && it->second.retry_at != TimePoint::min() ? std::optional(it->second.retry_at) : std::nullopt;
}

void Scheduler::CheckInvariants() const {
  auto check = [](bool holds, const char* what) {
    if (!holds) throw std::logic_error(what);
  };
  std::map<StudyKey, int> leases_of_study;
  std::map<SessionKey, std::uint64_t> leases_of_session, studies_of_session;
  std::map<std::string, std::uint32_t> leases_of_destination, served_of_destination, sessions_of_destination;
  std::size_t unheld = 0, leases_of_workers = 0, idle = 0, free = 0;
  for (const auto& [id, lease] : leases_) {
    check(id <= last_lease_, "a lease id above the last one");
    check(++leases_of_study[lease.study] == 1, "two live leases of one study");
    check(studies_.at(lease.study).place == Place::kLeased, "a lease of a study that is not leased");
    check(workers_.at(lease.worker).leases.contains(id), "a lease that its worker is not charged with");
    check(lease_ends_.contains({lease.expires_at, id}), "a lease without an end");
    const bool resends = !lease.held && !lease.revoked;
    check(unheld_.contains({lease.grant_sent, id}) == resends, "the grants to repeat");
    unheld += resends;
    const SessionKey session = studies_.at(lease.study).session;
    ++leases_of_session[session];
    ++leases_of_destination[sessions_.at(session).destination];
    served_of_destination[sessions_.at(session).destination] += lease.responded;
  }
  check(lease_ends_.size() == leases_.size(), "an end of no lease");
  check(unheld_.size() == unheld, "a grant to repeat of no lease");
  for (const auto& [key, study] : studies_) {
    const Session& session = sessions_.at(study.session);
    const Destination& destination = destinations_.at(session.destination);
    ++studies_of_session[study.session];
    check((study.place == Place::kLeased) == leases_of_study.contains(key), "a leased study without a lease");
    check((study.place == Place::kReady) == destination.ready.contains({study.setbacks, study.bytes, key}),
          "ready, not queued");
    check((study.place == Place::kBackingOff) == backing_off_.contains({study.since, key}),
          "backing off, no deadline");
    check(study.place == Place::kLeased || study.unsettled > 0, "a settled study that is still live");
    check(study.place != Place::kWaiting || session.ending || !session.scan_complete,
          "a study that nobody will lease");
  }
  for (const auto& [key, session] : sessions_) {
    ++sessions_of_destination[session.destination];
    check(session.live_leases == leases_of_session[key], "leases of a session");
    check(session.live_studies == studies_of_session[key], "studies of a session");
  }
  for (const auto& [name, worker] : workers_) {
    const std::uint32_t places = FreePlaces(worker);
    check(free_workers_.contains({places, &name}) == (places > 0), "the free workers");
    check(idle_workers_.contains({worker.last_seen, name}) == worker.leases.empty(), "the idle workers");
    leases_of_workers += worker.leases.size();
    free += places > 0;
    idle += worker.leases.empty();
  }
  check(leases_of_workers == leases_.size(), "leases of a worker");
  check(free_workers_.size() == free && idle_workers_.size() == idle, "a worker that is gone");
  for (const auto& [name, destination] : destinations_) {
    check(destination.live_leases == leases_of_destination[name], "leases of a destination");
    check(destination.served_leases == served_of_destination[name], "served leases of a destination");
    check(destination.sessions == sessions_of_destination[name], "sessions of a destination");
    check(destination.breaker != Breaker::kProbing || leases_.contains(destination.probe), "probing without a lease");
  }
}

}  // namespace dicom_sender
