// The workers, and the leases that they hold.
#include <algorithm>

#include "coordinator/scheduler/scheduler.h"

namespace dicom_sender {
namespace {

std::set<LeaseId> Listed(const WorkerSeen& event) {
  std::set<LeaseId> listed;
  for (const auto& held : event.held) listed.insert(held.lease);
  return listed;
}

}  // namespace

// Changes a worker, or adds it if it is new, and updates the sets of free and idle workers.
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

void Scheduler::On(const LeaseRestored& event, TimePoint now, Output& out) {
  const auto session = sessions_.find(event.session);
  if (session == sessions_.end() || leases_.contains(event.lease)) return;
  // If the worker has connected since then and did not list the lease, it does not hold it.
  const auto worker = workers_.find(event.worker);
  if (worker == workers_.end()) {
    ChangeWorker(event.worker, [now](Worker& w) { w.last_seen = now; });
  } else if (worker->second.incarnation && !worker->second.listed.contains(event.lease)) {
    out.changes.emplace_back(LeaseEnded{.study = event.study, .clean = false});
    return;
  }
  Study& study = FindOrAddStudy(event.study, event.session, session->second, now);
  study.place = Place::kLeased;
  study.since = now;
  last_lease_ = std::max(last_lease_, event.lease);
  AddLease(event.lease, event.session,
           Lease{.study = event.study,
                 .worker = event.worker,
                 .expires_at = now + options_.lease_ttl,
                 .grant_sent = now,
                 .held = true,
                 .restored = true});
}

void Scheduler::On(const WorkerSeen& event, TimePoint now, Output& out) {
  if (IsOvertaken(event)) return;
  const std::optional<std::uint64_t> known_life = workers_[event.worker].incarnation;
  const bool same_life = !known_life || *known_life == event.incarnation;
  StatusReply reply = RenewListed(event, same_life, now);
  EndUnlisted(event, same_life, now, out);
  if (!same_life) {
    ForgetFailures(event.worker);
    ReadAgain(event.worker, now);
  }
  ChangeWorker(event.worker, [&](Worker& worker) {
    if (!same_life) worker.drain_requested = false;
    worker.incarnation = event.incarnation;
    worker.seq = event.seq;
    worker.listed = Listed(event);
    worker.capacity = event.capacity;
    worker.draining = event.draining || worker.drain_requested;
    worker.not_ready = event.not_ready;
    worker.last_seen = now;
    reply.drain = worker.drain_requested;
  });
  out.replies.push_back(std::move(reply));
}

StatusReply Scheduler::RenewListed(const WorkerSeen& event, bool same_life, TimePoint now) {
  StatusReply reply{.worker = event.worker, .renewed = {}, .revoked = {}};
  for (const auto& [id, progressed] : event.held) {
    const auto it = leases_.find(id);
    const bool theirs = it != leases_.end() && it->second.worker == event.worker && !it->second.revoked && same_life;
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
  return reply;
}

// Ends the leases of an earlier incarnation of the worker, and the revoked or restored leases that the worker no
// longer lists.
void Scheduler::EndUnlisted(const WorkerSeen& event, bool same_life, TimePoint now, Output& out) {
  const std::set<LeaseId> listed = Listed(event);
  std::vector<LeaseId> gone;
  for (const LeaseId id : workers_.at(event.worker).leases) {
    const Lease& lease = leases_.at(id);
    const bool let_go = (lease.revoked || lease.restored) && !listed.contains(id);
    if (!same_life || let_go) gone.push_back(id);
  }
  for (const LeaseId id : gone) {
    const Lease lease = leases_.at(id);
    EndLease(id, false, out);
    PlaceAfterLoss(lease, now, out);
  }
}

void Scheduler::On(const DrainRequested& event, TimePoint, Output& out) {
  if (!workers_.contains(event.worker)) return;
  ChangeWorker(event.worker, [](Worker& worker) { worker.drain_requested = worker.draining = true; });
  out.replies.emplace_back(StatusReply{.worker = event.worker, .renewed = {}, .revoked = {}, .drain = true});
}

void Scheduler::ForgetFailures(const std::string& worker) {
  quarantine_.ForgetWorker(worker);
  std::erase_if(turned_away_, [&](const auto& entry) { return entry.first.first == worker; });
}

void Scheduler::ForgetSilentWorkers(TimePoint now) {
  while (!idle_workers_.empty() && now >= idle_workers_.begin()->first + options_.lease_ttl) {
    const auto worker = workers_.find(idle_workers_.begin()->second);
    free_workers_.erase({FreePlaces(worker->second), &worker->first});
    idle_workers_.erase(idle_workers_.begin());
    ForgetFailures(worker->first);
    workers_.erase(worker);
  }
}

std::uint32_t Scheduler::FreePlaces(const Worker& worker) {
  const auto leases = static_cast<std::uint32_t>(worker.leases.size());
  return !TakesStudies(worker) || leases >= worker.capacity ? 0 : worker.capacity - leases;
}

void Scheduler::AddLease(LeaseId id, SessionKey session_key, Lease lease) {
  Session& session = sessions_.at(session_key);
  ++session.live_leases;
  Destination& destination = destinations_.at(session.destination);
  ++destination.live_leases;
  ++endpoints_.at(destination.endpoint).live_leases;
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
  --endpoints_.at(destination.endpoint).live_leases;
  destination.served_leases -= lease.responded;
  destination.breaker.EndLease(id);
  quarantine_.EndTry(lease.worker, session.destination, id);
  quarantine_.EndTry(lease.worker, studies_.at(lease.study).session, id);
  ChangeWorker(lease.worker, [id](Worker& worker) { worker.leases.erase(id); });
  lease_ends_.erase({lease.expires_at, id});
  StopResending(id, lease);
  out.changes.emplace_back(LeaseEnded{.study = lease.study, .clean = clean, .revoked = lease.revoked});
  leases_.erase(it);
}

void Scheduler::ExpireLeases(TimePoint now, Output& out) {
  while (!lease_ends_.empty() && now >= lease_ends_.begin()->first) {
    const LeaseId id = lease_ends_.begin()->second;
    const Lease lease = leases_.at(id);
    ++leases_expired_;
    EndLease(id, false, out);
    PlaceAfterLoss(lease, now, out);
  }
}

}  // namespace dicom_sender
