#include "coordinator/scheduler/scheduler.h"

#include <algorithm>

#include "coordinator/scheduler/backoff.h"

namespace dicom_sender {

Scheduler::Scheduler(SchedulerOptions options, LeaseId last_lease)
    : options_(options),
      last_lease_(std::max(last_lease, options.leases_above)),
      random_(options.seed),
      quarantine_({.backoff_min = options.breaker_backoff_min, .backoff_max = options.breaker_backoff_max}) {}

Output Scheduler::Step(const Event& event, TimePoint now) {
  Output out;
  std::visit([&](const auto& e) { On(e, now, out); }, event);
  ExpireLeases(now, out);
  ForgetSilentWorkers(now);
  EndBackoffs(now);
  RaiseLimits(now);
  EndSessions(now, out);
  Grant(now, out);
  ResendGrants(now, out);
  out.wake_at = NextDeadline(now);
  return out;
}

std::optional<TimePoint> Scheduler::NextDeadline(TimePoint now) const {
  std::optional<TimePoint> next;
  auto at = [&next](TimePoint time) { next = next ? std::min(*next, time) : time; };
  const auto later = [&at, now](TimePoint time) {
    if (time > now) at(time);
  };
  if (!lease_ends_.empty()) at(lease_ends_.begin()->first);
  if (!unheld_.empty()) at(unheld_.begin()->first + options_.grant_resend);
  if (!backing_off_.empty()) at(backing_off_.begin()->first);
  for (const auto& [name, endpoint] : endpoints_) {
    if (const auto rises_at = endpoint.limit.rises_at()) at(*rises_at);
  }
  for (const auto& [name, destination] : destinations_) {
    if (const auto retry_at = destination.breaker.retry_at()) later(*retry_at);
  }
  if (const auto ends = NextPatienceEnd(now)) at(*ends);
  if (const auto try_at = quarantine_.NextTry(now)) at(*try_at);
  if (!idle_workers_.empty()) at(idle_workers_.begin()->first + options_.lease_ttl);
  return next;
}

// When the next wait for a destination or for storage ends. The former ends sessions. After the latter, a worker's
// quarantine no longer holds the session's studies back.
std::optional<TimePoint> Scheduler::NextPatienceEnd(TimePoint now) const {
  std::optional<TimePoint> next;
  const auto later = [&next, now](std::optional<TimePoint> time) {
    if (time && *time > now) next = next ? std::min(*next, *time) : *time;
  };
  for (const auto& [key, session] : sessions_) {
    const bool has_leases = destinations_.at(session.destination).live_leases > 0;
    if (!session.ending && !has_leases) later(PatienceEnds(session));
    later(StoragePatienceEnds(session));
  }
  return next;
}

// --- where studies wait

// `attempts`: the number of failed attempts at something in the study; 0: it may be leased immediately.
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

void Scheduler::MakeReady(StudyKey key, TimePoint since) {
  Study& study = studies_.at(key);
  const Session& session = sessions_.at(study.session);
  study.since = since;
  study.place = Place::kWaiting;
  if (session.ending) return;
  study.place = Place::kReady;
  destinations_.at(session.destination).ready.Insert(GroupOf(study), PlaceInQueue(key, study));
}

void Scheduler::MakeAllReady(SessionKey session, TimePoint now) {
  for (const auto& [key, study] : studies_) {
    if (study.session == session && study.place == Place::kWaiting) MakeReady(key, now);
  }
}

void Scheduler::BackOff(StudyKey key, std::uint32_t attempts, TimePoint now) {
  Study& study = studies_.at(key);
  if (sessions_.at(study.session).ending) return;
  study.place = Place::kBackingOff;
  study.since = now + JitteredBackoff(options_.retry_backoff_min, options_.retry_backoff_max, attempts - 1, random_);
  backing_off_.insert({study.since, key});
}

void Scheduler::EndBackoffs(TimePoint now) {
  while (!backing_off_.empty() && backing_off_.begin()->first <= now) {
    const StudyKey key = backing_off_.begin()->second;
    backing_off_.erase(backing_off_.begin());
    MakeReady(key, now);
  }
}

void Scheduler::Unqueue(StudyKey key) {
  Study& study = studies_.at(key);
  if (study.place == Place::kBackingOff) backing_off_.erase({study.since, key});
  if (study.place == Place::kReady) {
    auto& ready = destinations_.at(sessions_.at(study.session).destination).ready;
    ready.Erase(GroupOf(study), PlaceInQueue(key, study));
  }
  if (study.place != Place::kLeased) study.place = Place::kWaiting;
}

void Scheduler::SetBack(Study& study) {
  Session& session = sessions_.at(study.session);
  session.untried_studies -= study.setbacks == 0;
  ++study.setbacks;
}

void Scheduler::FailStudy(StudyKey key, std::string reason, Output& out) {
  Study& study = studies_.at(key);
  study.place = Place::kWaiting;
  if (study.unsettled > 0) out.changes.emplace_back(StudyFailed{.study = key, .reason = std::move(reason)});
  study.unsettled = 0;
  FinishStudyIfSettled(key);
}

void Scheduler::FinishStudyIfSettled(StudyKey key) {
  auto it = studies_.find(key);
  if (it == studies_.end() || it->second.unsettled > 0 || it->second.place == Place::kLeased) return;
  Unqueue(key);
  Session& session = sessions_.at(it->second.session);
  --session.live_studies;
  session.untried_studies -= it->second.setbacks == 0;
  destinations_.at(session.destination).set_back.erase(key);
  partly_read_.erase(key);
  studies_.erase(it);
  ++studies_done_;
}

}  // namespace dicom_sender
