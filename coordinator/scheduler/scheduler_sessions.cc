// Sessions, from their opening to their end, and the studies that are fed to them.
#include <algorithm>

#include "coordinator/scheduler/scheduler.h"

namespace dicom_sender {

void Scheduler::On(const SessionOpened& event, TimePoint now, Output&) {
  if (sessions_.contains(event.session)) return;
  ++FindOrAddDestination(event).sessions;
  sessions_[event.session] = Session{.destination = event.destination,
                                     .calling_ae = event.calling_ae,
                                     .dispatch_as_found = event.dispatch_as_found,
                                     .scan_complete = event.scan_complete,
                                     .attempts_max = AttemptsMax(event),
                                     .retry_for = event.retry_for,
                                     .opened = now,
                                     .stored_before = event.stored_before,
                                     .ending = {}};
}

std::uint32_t Scheduler::AttemptsMax(const SessionOpened& event) const {
  const std::uint32_t wanted = std::max(event.attempts_max, 1U);
  return options_.attempts_max == 0 ? wanted : std::min(wanted, options_.attempts_max);
}

Scheduler::Destination& Scheduler::FindOrAddDestination(const SessionOpened& event) {
  const BreakerOptions breaker{.backoff_min = options_.breaker_backoff_min,
                               .backoff_max = options_.breaker_backoff_max};
  const auto [it, is_new] = destinations_.try_emplace(event.destination, breaker);
  Destination& destination = it->second;
  if (!is_new) return destination;
  destination.endpoint = event.endpoint.empty() ? event.destination : event.endpoint;
  const AssociationLimitOptions limit{.slow_down_min = options_.slow_down_min, .speed_up = options_.speed_up};
  ++endpoints_.try_emplace(destination.endpoint, limit).first->second.destinations;
  return destination;
}

void Scheduler::On(const StudiesFed& event, TimePoint now, Output&) {
  auto session = sessions_.find(event.session);
  if (session == sessions_.end()) return;
  for (const StudyFeed& feed : event.studies) Feed(event.session, session->second, feed, now);
}

Scheduler::Study& Scheduler::FindOrAddStudy(StudyKey key, SessionKey session_key, Session& session, TimePoint now) {
  const auto [it, is_new] = studies_.try_emplace(key);
  if (is_new) {
    it->second.session = session_key;
    it->second.since = now;
    ++session.live_studies;
    ++session.untried_studies;
  }
  return it->second;
}

void Scheduler::Feed(SessionKey key, Session& session, const StudyFeed& feed, TimePoint now) {
  if (feed.pending == 0) return;
  Study& study = FindOrAddStudy(feed.study, key, session, now);
  const bool was_ready = study.place == Place::kReady;
  const TimePoint since = was_ready ? study.since : now;
  if (was_ready) Unqueue(feed.study);  // its position in the queue depends on its bytes
  study.unsettled += feed.pending;
  study.bytes += feed.pending_bytes;
  const bool may_go = session.scan_complete || session.dispatch_as_found;
  if (was_ready || (study.place == Place::kWaiting && may_go)) MakeReady(feed.study, since);
}

void Scheduler::On(const ScanCompleted& event, TimePoint now, Output& out) {
  auto it = sessions_.find(event.session);
  if (it == sessions_.end() || it->second.scan_complete) return;
  it->second.scan_complete = true;
  out.changes.emplace_back(SessionChanged{.session = event.session, .state = wire::SESSION_SENDING, .reason = {}});
  MakeAllReady(event.session, now);
}

void Scheduler::On(const ScanBegun& event, TimePoint, Output& out) {
  auto it = sessions_.find(event.session);
  if (it == sessions_.end() || !it->second.scan_complete) return;
  it->second.scan_complete = false;
  out.changes.emplace_back(SessionChanged{.session = event.session, .state = wire::SESSION_SCANNING, .reason = {}});
}

void Scheduler::On(const SuspendRequested& event, TimePoint, Output& out) {
  StartEnding(event.session, wire::SESSION_SUSPENDED, {}, out);
}

void Scheduler::On(const ContinueRequested& event, TimePoint now, Output&) {
  auto it = sessions_.find(event.session);
  if (it == sessions_.end() || !it->second.ending || it->second.ending->state != wire::SESSION_SUSPENDED) return;
  it->second.ending.reset();
  if (it->second.scan_complete || it->second.dispatch_as_found) MakeAllReady(event.session, now);
}

void Scheduler::On(const CancelRequested& event, TimePoint, Output& out) {
  StartEnding(event.session, wire::SESSION_CANCELLED, event.reason, out);
}

void Scheduler::StartEnding(SessionKey key, wire::SessionState state, std::string reason, Output& out) {
  auto it = sessions_.find(key);
  if (it == sessions_.end()) return;
  // A session that is being suspended or completed can still be ended immediately.
  if (it->second.ending && (EndsBadly(it->second.ending->state) || !EndsBadly(state))) return;
  it->second.ending = Ending{state, std::move(reason)};
  for (const auto& [study_key, study] : studies_) {
    if (study.session == key) Unqueue(study_key);
  }
  if (EndsBadly(state)) RevokeLeases(key, out);  // the leases of a suspended session may finish
}

void Scheduler::RevokeLeases(SessionKey session, Output& out) {
  std::map<std::string, StatusReply> revocations;
  for (auto& [id, lease] : leases_) {
    if (studies_.at(lease.study).session != session) continue;
    StopResending(id, lease);
    lease.revoked = true;
    revocations[lease.worker].revoked.push_back(id);
  }
  for (auto& [worker, reply] : revocations) {
    reply.worker = worker;
    out.replies.push_back(std::move(reply));
  }
}

void Scheduler::GiveUpDestinations(TimePoint now, Output& out) {
  for (auto& [key, session] : sessions_) {
    const Destination& destination = destinations_.at(session.destination);
    if (session.ending || destination.live_leases > 0) continue;
    const auto patience_ends = PatienceEnds(session);
    if (!patience_ends || now < *patience_ends || !HadTheirTurn(key)) continue;
    const auto state = destination.last_failure_is_refusal ? wire::SESSION_REFUSED : wire::SESSION_UNREACHABLE;
    StartEnding(key, state, destination.last_failure_reason, out);
  }
}

void Scheduler::EndSessions(TimePoint now, Output& out) {
  GiveUpDestinations(now, out);
  std::vector<SessionKey> over;
  for (auto& [key, session] : sessions_) {
    const bool complete = session.scan_complete && session.live_studies == 0;
    if (!session.ending && complete) session.ending = Ending{wire::SESSION_COMPLETE, {}};
    if (!session.ending || session.live_leases > 0) continue;
    // A session with nothing left to send is complete, even if it was asked to stop.
    out.changes.emplace_back(SessionChanged{.session = key,
                                            .state = complete ? wire::SESSION_COMPLETE : session.ending->state,
                                            .reason = complete ? std::string() : session.ending->reason});
    over.push_back(key);
  }
  for (const SessionKey key : over) DropSession(key);
}

void Scheduler::DropSession(SessionKey key) {
  const auto session = sessions_.find(key);
  if (session->second.live_studies > 0) {
    std::erase_if(studies_, [&](const auto& entry) {
      if (entry.second.session != key) return false;
      Unqueue(entry.first);
      partly_read_.erase(entry.first);
      destinations_.at(session->second.destination).set_back.erase(entry.first);
      return true;
    });
  }
  quarantine_.ForgetSubject(key);
  if (--destinations_.at(session->second.destination).sessions == 0) DropDestination(session->second.destination);
  sessions_.erase(session);
}

// Drops a destination that no session uses any more. The next session starts without assumptions about it.
void Scheduler::DropDestination(const std::string& name) {
  const auto destination = destinations_.find(name);
  const auto endpoint = endpoints_.find(destination->second.endpoint);
  if (--endpoint->second.destinations == 0) endpoints_.erase(endpoint);
  quarantine_.ForgetSubject(name);
  std::erase_if(turned_away_, [&](const auto& entry) { return entry.first.second == name; });
  destinations_.erase(destination);
}

}  // namespace dicom_sender
