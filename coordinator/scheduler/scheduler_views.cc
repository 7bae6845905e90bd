// The views of the scheduler's state for operators.
#include <fmt/format.h>

#include "coordinator/scheduler/scheduler.h"

namespace dicom_sender {

std::optional<StudyKey> Scheduler::StudyOf(LeaseId id) const {
  auto it = leases_.find(id);
  return it == leases_.end() || it->second.revoked ? std::nullopt : std::optional(it->second.study);
}

bool Scheduler::IsRevoked(LeaseId id) const {
  const auto it = leases_.find(id);
  return it != leases_.end() && it->second.revoked;
}

std::uint64_t Scheduler::LiveLeases(SessionKey session) const {
  const auto it = sessions_.find(session);
  return it == sessions_.end() ? 0 : it->second.live_leases;
}

bool Scheduler::IsEnding(SessionKey session) const {
  const auto it = sessions_.find(session);
  return it != sessions_.end() && it->second.ending;
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

std::string Scheduler::Trouble(SessionKey key, TimePoint now) const {
  const auto it = sessions_.find(key);
  if (it == sessions_.end()) return {};
  const Session& session = it->second;
  std::string trouble = TroubleOf(destinations_.at(session.destination), now);
  auto gives_up = HadTheirTurn(key) ? PatienceEnds(session) : std::nullopt;
  if (trouble.empty()) {
    if (!session.unreadable_since) return {};
    trouble = fmt::format("the files cannot be read: {}; trying again", session.unreadable_detail);
    gives_up = StoragePatienceEnds(session);
  }
  if (gives_up && *gives_up > now) trouble += fmt::format(", giving up in {}", FormatWait(*gives_up - now));
  return trouble;
}

std::string Scheduler::TroubleOf(const Destination& destination, TimePoint now) const {
  const CircuitBreaker& breaker = destination.breaker;
  const bool suspect = breaker.IsClosed() && breaker.unreachable_since();
  if (suspect || breaker.IsProbing()) return destination.last_failure_reason + "; trying again";
  if (const auto retry_at = breaker.retry_at()) {
    const auto wait = std::max(*retry_at - now, Duration(0));
    return fmt::format("{}; trying again in {} s", destination.last_failure_reason,
                       std::chrono::ceil<std::chrono::seconds>(wait).count());
  }
  const auto limit = endpoints_.at(destination.endpoint).limit.value();
  if (limit) return fmt::format("the destination is busy: at most {} associations", *limit);
  return {};
}

std::vector<WorkerView> Scheduler::Workers(TimePoint now) const {
  std::vector<WorkerView> views;
  for (const auto& [name, worker] : workers_) {
    views.push_back({.worker = name,
                     .capacity = worker.capacity,
                     .leases = static_cast<std::uint32_t>(worker.leases.size()),
                     .draining = worker.draining,
                     .not_ready = worker.not_ready,
                     .last_seen = now - worker.last_seen,
                     .quarantined = quarantine_.Of(name)});
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
                     .breaker_open = !destination.breaker.IsClosed(),
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
  for (const auto& [name, destination] : destinations_) stats.breakers_open += !destination.breaker.IsClosed();
  stats.workers_quarantined = quarantine_.workers();
  return stats;
}

std::optional<TimePoint> Scheduler::BacksOffUntil(StudyKey key) const {
  const auto it = studies_.find(key);
  return it != studies_.end() && it->second.place == Place::kBackingOff ? std::optional(it->second.since)
                                                                        : std::nullopt;
}

std::optional<TimePoint> Scheduler::ProbesAt(const std::string& name) const {
  const auto it = destinations_.find(name);
  return it == destinations_.end() ? std::nullopt : it->second.breaker.retry_at();
}

}  // namespace dicom_sender
