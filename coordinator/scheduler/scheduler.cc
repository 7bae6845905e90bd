#include "coordinator/scheduler/scheduler.h"

#include <algorithm>

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

// --- sessions and their feed

std::uint32_t Scheduler::AttemptsMax(const SessionOpened& event) const {
  const std::uint32_t wanted = std::max(event.attempts_max, 1U);
  return options_.attempts_max == 0 ? wanted : std::min(wanted, options_.attempts_max);
}

void Scheduler::On(const SessionOpened& event, TimePoint now, Output&) {
  if (sessions_.contains(event.session)) return;
  const auto [destination, is_new] = destinations_.try_emplace(event.destination);
  ++destination->second.sessions;
  if (is_new) {
    destination->second.endpoint = event.endpoint.empty() ? event.destination : event.endpoint;
    ++endpoints_[destination->second.endpoint].destinations;
  }
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

void Scheduler::On(const ScanCompleted& event, TimePoint now, Output& out) {
  auto it = sessions_.find(event.session);
  if (it == sessions_.end() || it->second.scan_complete) return;
  it->second.scan_complete = true;
  out.changes.push_back(SessionChanged{.session = event.session, .state = wire::SESSION_SENDING, .reason = {}});
  MakeAllReady(event.session, now);
}

void Scheduler::MakeAllReady(SessionKey session, TimePoint now) {
  for (const auto& [key, study] : studies_) {
    if (study.session == session && study.place == Place::kWaiting) MakeReady(key, now);
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
    const auto patience_ends = PatienceEnds(session);
    if (!patience_ends || now < *patience_ends || !HadTheirTurn(key)) continue;
    const auto state = destination.refuses ? wire::SESSION_REFUSED : wire::SESSION_UNREACHABLE;
    StartEnding(key, state, destination.detail, out);
  }
  std::vector<SessionKey> over;
  for (auto& [key, session] : sessions_) {
    const bool complete = session.scan_complete && session.live_studies == 0;
    if (!session.ending && complete) session.ending = Ending{wire::SESSION_COMPLETE, {}};
    if (!session.ending || session.live_leases > 0) continue;
    // A session that had everything settled when it was told to stop is complete all the same.
    out.changes.push_back(SessionChanged{.session = key,
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
  // The next session to a destination that none uses any more finds out for itself how the destination is.
  const auto destination = destinations_.find(session->second.destination);
  if (--destination->second.sessions == 0) {
    const auto endpoint = endpoints_.find(destination->second.endpoint);
    if (--endpoint->second.destinations == 0) endpoints_.erase(endpoint);
    quarantine_.ForgetSubject(destination->first);
    std::erase_if(turned_away_, [&](const auto& entry) { return entry.first.second == destination->first; });
    destinations_.erase(destination);
  }
  sessions_.erase(session);
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
    PlaceAfterLoss(lease, now, out);
  }
  if (!same_life) {
    ForgetFailures(event.worker);
    ReadAgain(event.worker, now);
  }
  ChangeWorker(event.worker, [&](Worker& worker) {
    if (!same_life) worker.drain_requested = false;
    worker.incarnation = event.incarnation;
    worker.seq = event.seq;
    worker.listed = std::move(held);
    worker.capacity = event.capacity;
    worker.draining = event.draining || worker.drain_requested;
    worker.not_ready = event.not_ready;
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
  // A probe that ended without an answer leaves the breaker open; the next study may probe at once.
  if (destination.breaker == Breaker::kProbing && destination.probe == id) destination.breaker = Breaker::kOpen;
  quarantine_.EndTry(lease.worker, session.destination, id);
  quarantine_.EndTry(lease.worker, studies_.at(lease.study).session, id);
  ChangeWorker(lease.worker, [id](Worker& worker) { worker.leases.erase(id); });
  lease_ends_.erase({lease.expires_at, id});
  StopResending(id, lease);
  out.changes.push_back(LeaseEnded{.study = lease.study, .clean = clean, .revoked = lease.revoked});
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

bool Scheduler::MayServe(const std::string& worker, const std::string& destination, const ReadyGroup& group,
                         TimePoint now) const {
  if (quarantine_.Keeps(worker, destination, now)) return false;
  const Session& session = sessions_.at(group.session);
  const auto patience_ends = StoragePatienceEnds(session);
  const bool waits = !patience_ends || now < *patience_ends;
  if (waits && quarantine_.Keeps(worker, group.session, now)) return false;
  return !group.unreadable_by.contains(worker) || NobodyLeftToRead(group.session, group.unreadable_by);
}

// The freest one. To find out whether the destination is back, each in turn, by name: where the trouble is one
// worker's alone, it must not be the only one that is asked. Null: none may.
const std::string* Scheduler::ChooseWorker(const std::string& name, const Destination& destination,
                                           const ReadyGroup& group, TimePoint now) const {
  if (const std::string* worker = ChooseWorker(name, destination, group, /*asked_before=*/false, now)) return worker;
  return ChooseWorker(name, destination, group, /*asked_before=*/true, now);
}

// `asked_before`: of those that could not read all of it.
const std::string* Scheduler::ChooseWorker(const std::string& name, const Destination& destination,
                                           const ReadyGroup& group, bool asked_before, TimePoint now) const {
  const std::string* first = nullptr;
  const std::string* next = nullptr;  // by name, after the one that has tried last
  for (const FreeWorker& free : free_workers_) {
    if (group.unreadable_by.contains(*free.name) != asked_before) continue;
    if (!MayServe(*free.name, name, group, now)) continue;
    if (destination.breaker != Breaker::kOpen) return free.name;
    if (first == nullptr || *free.name < *first) first = free.name;
    const bool follows = *free.name > destination.tried_by;
    if (follows && (next == nullptr || *free.name < *next)) next = free.name;
  }
  return next != nullptr ? next : first;
}

// The study whose turn it is, of those that some free worker may send.
std::optional<Scheduler::NextGrant> Scheduler::ChooseGrant(const std::string& name, const Destination& destination,
                                                           TimePoint now) const {
  std::optional<NextGrant> best;
  for (const auto& [group, studies] : destination.ready) {
    const ReadyStudy& study = *studies.begin();
    if (best && !(study < best->study)) continue;
    const std::string* worker = ChooseWorker(name, destination, group, now);
    if (worker != nullptr) best = NextGrant{.study = study, .worker = *worker};
  }
  return best;
}

void Scheduler::Grant(TimePoint now, Output& out) {
  for (auto& [name, destination] : destinations_) {
    while (!free_workers_.empty() && MayGrant(destination, now)) {
      const auto next = ChooseGrant(name, destination, now);
      if (!next) break;
      GrantLease(name, destination, *next, now, out);
    }
  }
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
  if (destination.breaker == Breaker::kOpen) {
    destination.breaker = Breaker::kProbing;
    destination.probe = id;
  }
  out.changes.push_back(LeaseGranted{
      .study = key, .lease = id, .worker = next.worker, .worker_capacity = workers_.at(next.worker).capacity});
  out.replies.push_back(GrantReply{.worker = next.worker, .lease = id, .study = key, .session = study.session});
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
  Session& session = sessions_.at(it->second.session);
  --session.live_studies;
  session.untried_studies -= it->second.setbacks == 0;
  destinations_.at(session.destination).set_back.erase(key);
  partly_read_.erase(key);
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
  auto& ready = destinations_.at(session.destination).ready;
  ready[{study.session, study.unreadable_by}].insert({study.setbacks, study.bytes, key});
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
    auto& ready = destinations_.at(sessions_.at(study.session).destination).ready;
    const auto group = ready.find({study.session, study.unreadable_by});
    group->second.erase({study.setbacks, study.bytes, key});
    if (group->second.empty()) ready.erase(group);
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
    if (endpoint.limit) at(endpoint.limit_changed + options_.speed_up);
  }
  for (const auto& [name, destination] : destinations_) {
    if (destination.breaker == Breaker::kOpen) later(destination.retry_at);
  }
  for (const auto& [key, session] : sessions_) {
    const Destination& destination = destinations_.at(session.destination);
    const auto patience_ends = PatienceEnds(session);
    if (patience_ends && !session.ending && destination.live_leases == 0) later(*patience_ends);
    // From then on its studies are not held back by a worker's quarantine.
    if (const auto ends = StoragePatienceEnds(session)) later(*ends);
  }
  if (const auto try_at = quarantine_.NextTry(now)) at(*try_at);
  if (!idle_workers_.empty()) at(idle_workers_.begin()->first + options_.lease_ttl);
  return next;
}

}  // namespace dicom_sender
