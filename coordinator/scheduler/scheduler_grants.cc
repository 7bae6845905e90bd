// Chooses which study to lease to which worker.
#include "coordinator/scheduler/scheduler.h"

namespace dicom_sender {

void Scheduler::Grant(TimePoint now, Output& out) {
  for (auto& [name, destination] : destinations_) {
    while (!free_workers_.empty() && MayGrant(destination, now)) {
      const auto next = ChooseGrant(name, destination, now);
      if (!next) break;
      GrantLease(name, destination, *next, now, out);
    }
  }
}

// Returns the first study in the order of the queue that a free worker may send.
std::optional<Scheduler::NextGrant> Scheduler::ChooseGrant(const std::string& name, const Destination& destination,
                                                           TimePoint now) const {
  std::optional<NextGrant> best;
  for (const auto& [group, studies] : destination.ready.groups()) {
    const ReadyStudy& study = *studies.begin();
    if (best && !(study < best->study)) continue;
    const std::string* worker = ChooseWorker(name, destination, group, now);
    if (worker != nullptr) best = NextGrant{.study = study, .worker = *worker};
  }
  return best;
}

// Returns the worker with the most free places, or null. When the breaker is open, the workers take turns, in the
// order of their names: if only one worker has trouble, it must not be the only one that probes.
const std::string* Scheduler::ChooseWorker(const std::string& name, const Destination& destination,
                                           const ReadyGroup& group, TimePoint now) const {
  if (const std::string* worker = ChooseWorker(name, destination, group, /*asked_before=*/false, now)) return worker;
  return ChooseWorker(name, destination, group, /*asked_before=*/true, now);
}

// `asked_before`: whether to choose among the workers that could not read all of the study, or among the others.
const std::string* Scheduler::ChooseWorker(const std::string& name, const Destination& destination,
                                           const ReadyGroup& group, bool asked_before, TimePoint now) const {
  const std::string* first = nullptr;
  const std::string* next = nullptr;  // the first name after that of the last worker that tried
  for (const FreeWorker& free : free_workers_) {
    if (group.unreadable_by.contains(*free.name) != asked_before) continue;
    if (!MayServe(*free.name, name, group, now)) continue;
    if (!destination.breaker.IsOpen()) return free.name;
    if (first == nullptr || *free.name < *first) first = free.name;
    const bool follows = *free.name > destination.last_unreachable_from;
    if (follows && (next == nullptr || *free.name < *next)) next = free.name;
  }
  return next != nullptr ? next : first;
}

bool Scheduler::MayServe(const std::string& worker, const std::string& destination, const ReadyGroup& group,
                         TimePoint now) const {
  if (quarantine_.Keeps(worker, destination, now)) return false;
  const Session& session = sessions_.at(group.session);
  const auto patience_ends = StoragePatienceEnds(session);
  const bool waits = !patience_ends || now < *patience_ends;
  if (waits && quarantine_.Keeps(worker, group.session, now)) return false;
  return !group.unreadable_by.contains(worker) || NobodyLeftToRead(group.session, group.unreadable_by);
}

void Scheduler::GrantLease(const std::string& name, Destination& destination, const NextGrant& next, TimePoint now,
                           Output& out) {
  const StudyKey key = next.study.study;
  Unqueue(key);
  Study& study = studies_.at(key);
  out.queue_waits.push_back(now - study.since);
  study.place = Place::kLeased;
  study.since = now;
  const LeaseId id = ++last_lease_;
  AddLease(id, study.session,
           Lease{.study = key, .worker = next.worker, .expires_at = now + options_.lease_ttl, .grant_sent = now});
  quarantine_.BeginTry(next.worker, name, id);
  quarantine_.BeginTry(next.worker, study.session, id);
  destination.breaker.BeginLease(id);
  out.changes.emplace_back(LeaseGranted{
      .study = key, .lease = id, .worker = next.worker, .worker_capacity = workers_.at(next.worker).capacity});
  out.replies.emplace_back(GrantReply{.worker = next.worker, .lease = id, .study = key, .session = study.session});
}

void Scheduler::ResendGrants(TimePoint now, Output& out) {
  while (!unheld_.empty() && now >= unheld_.begin()->first + options_.grant_resend) {
    const LeaseId id = unheld_.begin()->second;
    Lease& lease = leases_.at(id);
    unheld_.erase(unheld_.begin());
    lease.grant_sent = now;
    unheld_.insert({now, id});
    out.replies.emplace_back(GrantReply{
        .worker = lease.worker, .lease = id, .study = lease.study, .session = studies_.at(lease.study).session});
  }
}

}  // namespace dicom_sender
