// What others may know of the scheduler, and what must hold inside of it.
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

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
  const bool suspect = destination.breaker == Breaker::kClosed && destination.unreachable_since;
  if (suspect || destination.breaker == Breaker::kProbing) return destination.detail + "; trying again";
  if (destination.breaker == Breaker::kOpen) {
    const auto wait = destination.retry_at > now ? destination.retry_at - now : Duration(0);
    return fmt::format("{}; trying again in {} s", destination.detail,
                       std::chrono::ceil<std::chrono::seconds>(wait).count());
  }
  const auto& limit = endpoints_.at(destination.endpoint).limit;
  if (limit) return fmt::format("the destination is busy: at most {} associations", *limit);
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
                     .not_ready = worker.not_ready,
                     .last_seen = now - worker.last_seen,
                     .quarantined = quarantine_.Of(name)});
  }
  return views;
}

std::vector<DestinationView> Scheduler::Destinations(TimePoint now) const {
  std::vector<DestinationView> views;
  for (const auto& [name, destination] : destinations_) {
    std::uint64_t ready = 0;
    for (const auto& [group, studies] : destination.ready) ready += studies.size();
    views.push_back({.destination = name,
                     .leases = destination.live_leases,
                     .ready = ready,
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
  const bool waits = it != destinations_.end() && it->second.breaker == Breaker::kOpen;
  return waits ? std::optional(it->second.retry_at) : std::nullopt;
}

void Scheduler::CheckInvariants() const {
  auto check = [](bool holds, const char* what) {
    if (!holds) throw std::logic_error(what);
  };
  std::map<StudyKey, int> leases_of_study;
  std::map<SessionKey, std::uint64_t> leases_of_session, studies_of_session, untried_of_session;
  std::map<std::string, std::uint32_t> leases_of_destination, served_of_destination, sessions_of_destination;
  std::map<std::string, std::uint32_t> leases_of_endpoint, destinations_of_endpoint;
  std::size_t unheld = 0, leases_of_workers = 0, idle = 0, free = 0, ready = 0, queued_in_all = 0;
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
    untried_of_session[study.session] += study.setbacks == 0;
    const auto group = destination.ready.find({study.session, study.unreadable_by});
    const bool queued =
        group != destination.ready.end() && group->second.contains({study.setbacks, study.bytes, key});
    check((study.place == Place::kReady) == queued, "ready, not queued");
    ready += queued;
    check(study.unreadable_by.empty() != partly_read_.contains(key), "the studies that a worker cannot read");
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
    check(session.untried_studies == untried_of_session[key], "untried studies of a session");
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
    leases_of_endpoint[destination.endpoint] += destination.live_leases;
    ++destinations_of_endpoint[destination.endpoint];
    for (const auto& [group, studies] : destination.ready) {
      check(!studies.empty(), "a group of no studies");
      queued_in_all += studies.size();
    }
    for (const StudyKey key : destination.set_back)
      check(studies_.contains(key), "a study that is gone was set back");
  }
  check(queued_in_all == ready, "a queued study that is not ready");
  check(endpoints_.size() == destinations_of_endpoint.size(), "an endpoint of no destination");
  for (const auto& [name, endpoint] : endpoints_) {
    check(endpoint.live_leases == leases_of_endpoint[name], "leases of an endpoint");
    check(endpoint.destinations == destinations_of_endpoint[name], "destinations of an endpoint");
  }
}

}  // namespace dicom_sender
