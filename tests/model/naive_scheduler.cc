#include "tests/model/naive_scheduler.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>

#include "dicom/dimse_status.h"

namespace dicom_sender {
namespace {

// Returns the backoff that doubles from `min` to `max`.
Duration Doubled(Duration min, Duration max, std::uint32_t times) {
  for (std::uint32_t i = 0; i < times && min < max; ++i) min *= 2;
  return std::min(min, max);
}

bool IsStored(InstanceState state) {
  return state == InstanceState::kStored || state == InstanceState::kStoredWithWarning;
}

StatusVerdict VerdictOf(const wire::Outcome& outcome) {
  return JudgeStoreStatus(static_cast<std::uint16_t>(outcome.status()));
}

template <class List, class Is>
auto FindIn(List& list, Is is) -> decltype(&list.front()) {
  const auto it = std::find_if(list.begin(), list.end(), is);
  return it == list.end() ? nullptr : &*it;
}

template <class List, class Is>
std::uint32_t CountIn(const List& list, Is is) {
  return static_cast<std::uint32_t>(std::count_if(list.begin(), list.end(), is));
}

}  // namespace

Output NaiveScheduler::Step(const Event& event, TimePoint now, const Scheduler& real) {
  now_ = now;
  out_ = {};
  std::visit([this](const auto& e) { On(e); }, event);
  ExpireLeases();
  ForgetSettledStudies();
  ForgetSilentWorkers();
  EndBackoffs();
  RaiseLimits();
  GiveUpUnreachable();
  EndSessions();
  Grant();
  RepeatGrants();
  AdoptWhatChanceDecided(real);
  out_.wake_at = NextDeadline();
  return std::move(out_);
}

// --- sessions and their feed

void NaiveScheduler::On(const SessionOpened& event) {
  if (FindSession(event.session)) return;
  if (!FindDestination(event.destination)) {
    destinations_.push_back(
        {.name = event.destination, .endpoint = event.endpoint.empty() ? event.destination : event.endpoint});
  }
  sessions_.push_back({.opened_as = event, .scan_complete = event.scan_complete, .opened = now_});
  std::sort(destinations_.begin(), destinations_.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  std::sort(sessions_.begin(), sessions_.end(),
            [](const auto& a, const auto& b) { return a.opened_as.session < b.opened_as.session; });
}

void NaiveScheduler::On(const StudiesFed& event) {
  if (!FindSession(event.session)) return;
  for (const StudyFeed& feed : event.studies) Feed(*FindSession(event.session), event.session, feed);
}

void NaiveScheduler::Feed(const Session& session, SessionKey key, const StudyFeed& feed) {
  if (feed.pending == 0) return;
  if (!FindStudy(feed.study)) studies_.push_back({.key = feed.study, .session = key});
  Study& study = *FindStudy(feed.study);
  const bool was_ready = IsReady(study);
  study.unsettled += feed.pending;
  study.bytes += feed.pending_bytes;
  study.released |= session.scan_complete || session.opened_as.dispatch_as_found;
  if (!was_ready) study.ready_since = now_;
}

void NaiveScheduler::On(const LeaseRestored& event) {
  if (!FindSession(event.session) || FindLease(event.lease)) return;
  if (!FindWorker(event.worker)) {
    workers_.push_back({.name = event.worker, .last_seen = now_});
    std::sort(workers_.begin(), workers_.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  }
  if (const auto& seen = FindWorker(event.worker)->seen) {
    const bool listed = std::any_of(seen->held.begin(), seen->held.end(),
                                    [&](const auto& held) { return held.lease == event.lease; });
    if (!listed) return out_.changes.push_back(LeaseEnded{.study = event.study, .clean = false});
  }
  studies_.push_back({.key = event.study, .session = event.session, .released = true});
  last_lease_ = std::max(last_lease_, event.lease);
  leases_.push_back({.id = event.lease,
                     .study = event.study,
                     .worker = event.worker,
                     .expires_at = now_ + options_.lease_ttl,
                     .told_at = now_,
                     .held = true,
                     .restored = true});
  std::sort(leases_.begin(), leases_.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
}

void NaiveScheduler::On(const ScanCompleted& event) {
  Session* session = FindSession(event.session);
  if (!session || session->scan_complete) return;
  session->scan_complete = true;
  out_.changes.push_back(SessionChanged{.session = event.session, .state = wire::SESSION_SENDING, .reason = {}});
  for (Study& study : studies_) {
    if (study.session != event.session || study.released) continue;
    study.released = true;
    study.ready_since = now_;
  }
}

void NaiveScheduler::On(const ScanBegun& event) {
  Session* session = FindSession(event.session);
  if (!session || !session->scan_complete) return;
  session->scan_complete = false;
  out_.changes.push_back(SessionChanged{.session = event.session, .state = wire::SESSION_SCANNING, .reason = {}});
}

void NaiveScheduler::On(const SuspendRequested& event) { StartEnding(event.session, wire::SESSION_SUSPENDED, {}); }

void NaiveScheduler::On(const ContinueRequested& event) {
  Session* session = FindSession(event.session);
  if (!session || !session->ending || session->ending->first != wire::SESSION_SUSPENDED) return;
  session->ending.reset();
  for (Study& study : studies_) {
    if (study.session != event.session || IsLeased(study)) continue;
    study.released = session->scan_complete || session->opened_as.dispatch_as_found;
    study.backs_off_until.reset();
    study.backoff_max.reset();
    study.ready_since = now_;
  }
}

void NaiveScheduler::On(const CancelRequested& event) {
  StartEnding(event.session, wire::SESSION_CANCELLED, event.reason);
}

void NaiveScheduler::StartEnding(SessionKey key, wire::SessionState state, const std::string& reason) {
  Session* session = FindSession(key);
  if (!session) return;
  if (session->ending && (EndsBadly(session->ending->first) || !EndsBadly(state))) return;
  session->ending = {state, reason};
  if (!EndsBadly(state)) return;
  for (const Worker& worker : workers_) {
    StatusReply reply{.worker = worker.name, .renewed = {}, .revoked = {}};
    for (Lease& lease : leases_) {
      if (lease.worker != worker.name || FindStudy(lease.study)->session != key) continue;
      lease.revoked = true;
      reply.revoked.push_back(lease.id);
    }
    if (!reply.revoked.empty()) out_.replies.push_back(reply);
  }
}

void NaiveScheduler::GiveUpUnreachable() {
  for (const Session& session : sessions_) {
    const Destination& destination = DestinationOf(session);
    const auto patience_ends = PatienceEnds(session);
    if (session.ending || LeasesTo(destination) > 0 || !patience_ends || now_ < *patience_ends) continue;
    if (!HadTheirTurn(session)) continue;
    StartEnding(session.opened_as.session, destination.refuses ? wire::SESSION_REFUSED : wire::SESSION_UNREACHABLE,
                destination.detail);
  }
}

void NaiveScheduler::EndSessions() {
  std::set<SessionKey> over;
  for (const Session& session : sessions_) {
    const SessionKey key = session.opened_as.session;
    const bool complete = session.scan_complete && !HasStudies(session);
    if ((!session.ending && !complete) || LiveLeases(key) > 0) continue;
    over.insert(key);
    SessionChanged change{.session = key, .state = wire::SESSION_COMPLETE, .reason = {}};
    if (!complete) std::tie(change.state, change.reason) = *session.ending;
    out_.changes.push_back(change);
  }
  for (const SessionKey key : over) quarantine_.ForgetSubject(key);
  std::erase_if(studies_, [&](const Study& study) { return over.contains(study.session); });
  std::erase_if(sessions_, [&](const Session& session) { return over.contains(session.opened_as.session); });
  std::erase_if(destinations_, [this](const Destination& destination) {
    const bool used = std::any_of(sessions_.begin(), sessions_.end(), [&](const Session& session) {
      return session.opened_as.destination == destination.name;
    });
    if (!used) quarantine_.ForgetSubject(destination.name);
    return !used;
  });
  std::erase_if(limits_, [this](const auto& limit) {
    return std::none_of(destinations_.begin(), destinations_.end(),
                        [&](const Destination& destination) { return destination.endpoint == limit.first; });
  });
  for (Destination& destination : destinations_) {
    std::erase_if(destination.set_back, [this](StudyKey key) { return !FindStudy(key); });
  }
}

Duration NaiveScheduler::RetryFor(const Session& session) const {
  const bool answered = session.answered.has_value() || session.opened_as.stored_before;
  return session.opened_as.retry_for.value_or(answered ? options_.retry_for_answered : options_.retry_for_unanswered);
}

std::optional<TimePoint> NaiveScheduler::PatienceEnds(const Session& session) const {
  const auto& since = DestinationOf(session).unreachable_since;
  if (!since) return std::nullopt;
  return std::max(*since, session.opened) + RetryFor(session);
}

// --- workers and leases

void NaiveScheduler::On(const WorkerSeen& event) {
  if (!FindWorker(event.worker)) {
    workers_.push_back({.name = event.worker, .last_seen = now_});
    std::sort(workers_.begin(), workers_.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  }
  Worker& worker = *FindWorker(event.worker);
  const bool new_life = worker.seen && event.incarnation > worker.seen->incarnation;
  if (worker.seen && event.incarnation < worker.seen->incarnation) return;
  if (worker.seen && !new_life && event.seq < worker.seen->seq) return;

  StatusReply reply{.worker = event.worker, .renewed = {}, .revoked = {}};
  std::set<LeaseId> listed;
  for (const auto& [id, progressed] : event.held) {
    listed.insert(id);
    Lease* lease = FindLease(id);
    if (!lease || lease->worker != event.worker || lease->revoked || new_life) {
      reply.revoked.push_back(id);
      continue;
    }
    if (progressed || !lease->held) {
      lease->expires_at = now_ + options_.lease_ttl;
      reply.renewed.push_back(id);
    }
    lease->held = true;
    lease->restored = false;
  }
  for (const Lease& lease : std::vector(leases_)) {
    if (lease.worker != event.worker) continue;
    const bool let_go = (lease.revoked || lease.restored) && !listed.contains(lease.id);
    if (!new_life && !let_go) continue;
    End(lease.id, false);
  }
  if (new_life) {
    ForgetFailures(event.worker);
    ReadAgain(event.worker);
  }
  worker.drain_requested &= !new_life;
  worker.seen = event;
  worker.last_seen = now_;
  reply.drain = worker.drain_requested;
  out_.replies.push_back(reply);
}

void NaiveScheduler::On(const DrainRequested& event) {
  Worker* worker = FindWorker(event.worker);
  if (!worker) return;
  worker->drain_requested = true;
  out_.replies.push_back(StatusReply{.worker = event.worker, .renewed = {}, .revoked = {}, .drain = true});
}

void NaiveScheduler::ForgetSilentWorkers() {
  std::erase_if(workers_, [this](const Worker& worker) {
    const bool silent = LeasesOf(worker) == 0 && now_ >= worker.last_seen + options_.lease_ttl;
    if (silent) ForgetFailures(worker.name);
    return silent;
  });
}

void NaiveScheduler::ForgetFailures(const std::string& worker) {
  quarantine_.ForgetWorker(worker);
  for (Destination& destination : destinations_) destination.turned_away.erase(worker);
}

void NaiveScheduler::ExpireLeases() {
  for (const Lease& lease : std::vector(leases_)) {
    if (now_ < lease.expires_at) continue;
    ++leases_expired_;
    End(lease.id, false);
  }
}

// Its study waits for another worker unless nothing is left of it.
void NaiveScheduler::End(LeaseId id, bool clean) {
  const Lease lease = *FindLease(id);
  Study& study = *FindStudy(lease.study);
  Destination& destination = DestinationOf(SessionOf(study));
  if (destination.probe == id) destination.probe = 0;
  quarantine_.EndTry(lease.worker, destination.name, id);
  quarantine_.EndTry(lease.worker, study.session, id);
  out_.changes.push_back(LeaseEnded{.study = lease.study, .clean = clean, .revoked = lease.revoked});
  std::erase_if(leases_, [id](const Lease& other) { return other.id == id; });
  study.released = true;
  study.ready_since = now_;
  NoteUnreadable(lease);
  BackOff(study, lease.worst_attempts);
  if (clean) return;
  study.losses = lease.settled_some ? 0 : study.losses + 1;
  if (study.losses < 2) return;
  SetBack(study);
  BackOff(study, study.losses - 1);
}

// The longest requested backoff counts.
void NaiveScheduler::BackOff(Study& study, std::uint32_t in_vain) {
  if (in_vain == 0) return;
  const Duration max = Doubled(options_.retry_backoff_min, options_.retry_backoff_max, in_vain - 1);
  study.backoff_max = std::max(study.backoff_max.value_or(max), max);
}

void NaiveScheduler::SetBack(Study& study) { ++study.setbacks; }

void NaiveScheduler::Grant() {
  for (Destination& destination : destinations_) {
    while (Takes(destination)) {
      const auto [study, worker] = NextGrant(destination);
      if (!study) break;
      const LeaseId id = ++last_lease_;
      leases_.push_back({.id = id,
                         .study = study->key,
                         .worker = worker->name,
                         .expires_at = now_ + options_.lease_ttl,
                         .told_at = now_});
      quarantine_.BeginTry(worker->name, destination.name, id);
      quarantine_.BeginTry(worker->name, study->session, id);
      if (destination.broken) destination.probe = id;
      out_.queue_waits.push_back(now_ - study->ready_since);
      out_.changes.push_back(LeaseGranted{
          .study = study->key, .lease = id, .worker = worker->name, .worker_capacity = worker->capacity()});
      out_.replies.push_back(
          GrantReply{.worker = worker->name, .lease = id, .study = study->key, .session = study->session});
    }
  }
}

// Chooses the study that was given back least often because of the destination, then the largest, among those that a
// free worker may send.
std::pair<NaiveScheduler::Study*, const NaiveScheduler::Worker*> NaiveScheduler::NextGrant(
    const Destination& destination) {
  std::pair<Study*, const Worker*> next{nullptr, nullptr};
  const auto order = [](const Study& s) { return std::tuple(s.setbacks, UINT64_MAX - s.bytes, s.key); };
  for (Study& study : studies_) {
    if (!IsReady(study) || &DestinationOf(SessionOf(study)) != &destination) continue;
    if (next.first && order(*next.first) < order(study)) continue;
    if (const Worker* worker = WorkerFor(study, destination)) next = {&study, worker};
  }
  return next;
}

// Chooses the worker with the most free capacity. To probe a destination, the workers take turns: names after the
// last one come first.
const NaiveScheduler::Worker* NaiveScheduler::WorkerFor(const Study& study, const Destination& destination) const {
  const Worker* best = nullptr;
  const auto order = [&](const Worker& w) {
    const auto room = std::int64_t{w.capacity()} - std::int64_t{LeasesOf(w)};
    const bool came_before = w.name <= destination.tried_by;
    const bool asked_before = study.unreadable_by.contains(w.name);
    const std::int64_t turn = destination.broken ? std::int64_t{came_before} : -room;
    return std::tuple(asked_before, turn, w.name);
  };
  for (const Worker& worker : workers_) {
    if (!worker.takes_studies() || worker.capacity() <= LeasesOf(worker)) continue;
    if (!MayServe(worker, study, destination)) continue;
    if (!best || order(worker) < order(*best)) best = &worker;
  }
  return best;
}

bool NaiveScheduler::MayServe(const Worker& worker, const Study& study, const Destination& destination) const {
  if (quarantine_.Keeps(worker.name, destination.name, now_)) return false;
  const Session& session = SessionOf(study);
  const bool patient = !session.unreadable_since || now_ < *session.unreadable_since + RetryFor(session);
  if (patient && quarantine_.Keeps(worker.name, study.session, now_)) return false;
  return !study.unreadable_by.contains(worker.name) || NobodyLeft(study.session, study.unreadable_by);
}

bool NaiveScheduler::NobodyLeft(SessionKey session, const std::set<std::string>& unreadable_by) const {
  return CountIn(workers_, [&](const Worker& worker) {
           return worker.may_read() && !unreadable_by.contains(worker.name) &&
                  !quarantine_.IsHopeless(worker.name, session);
         }) == 0;
}

std::string NaiveScheduler::NotReadable(const Study& study, const std::string& worker,
                                        const std::string& reason) const {
  std::set<std::string> names = study.unreadable_by;
  names.insert(worker);
  for (const Worker& other : workers_) {
    if (other.may_read() && quarantine_.IsHopeless(other.name, study.session)) names.insert(other.name);
  }
  return names.size() == 1 ? reason : fmt::format("not readable by workers {}: {}", fmt::join(names, ", "), reason);
}

void NaiveScheduler::RepeatGrants() {
  for (Lease& lease : leases_) {
    if (lease.held || lease.revoked || now_ < lease.told_at + options_.grant_resend) continue;
    lease.told_at = now_;
    out_.replies.push_back(GrantReply{.worker = lease.worker,
                                      .lease = lease.id,
                                      .study = lease.study,
                                      .session = SessionOf(lease).opened_as.session});
  }
}

// --- outcomes

void NaiveScheduler::On(const Reported& event) {
  if (!FindLease(event.lease)) late_outcomes_ += event.outcomes.size();
  if (Lease* lease = FindLease(event.lease); lease && event.associations > 0 && !lease->associated) {
    lease->associated = true;
    Destination& destination = DestinationOf(SessionOf(*lease));
    if (destination.tried_by != lease->worker) Echoed(destination, lease->worker);
  }
  for (const OutcomeReported& reported : event.outcomes) Record(event, reported);
  Lease* lease = FindLease(event.lease);
  if (!lease) return;
  lease->held = true;
  if (event.give_back) GiveBack(event.lease, *event.give_back);
}

InstanceChange NaiveScheduler::Judge(const Reported& event, const OutcomeReported& reported) {
  const auto& [outcome, facts] = reported;
  Lease* lease = FindLease(event.lease);
  Study* study = FindStudy(event.study);
  InstanceChange change{.study = event.study,
                        .index = facts.index,
                        .state = InstanceState::kFailed,
                        .attempts = facts.attempts,
                        .status = {},
                        .reason = outcome.reason(),
                        .duration_us = outcome.duration_us(),
                        .resend = false,
                        .may_be_stored = facts.may_be_stored || outcome.may_be_stored(),
                        .before = facts};
  if (outcome.kind() == wire::Outcome::NOT_SENDABLE) return change;
  if (outcome.kind() == wire::Outcome::UNREADABLE) {
    if (!lease || !study) return change;
    std::set<std::string> all = study->unreadable_by;
    all.insert(lease->worker);
    const auto readers = CountIn(workers_, [](const Worker& worker) { return worker.may_read(); });
    const auto miss = CountIn(workers_, [&](const Worker& worker) {
      return worker.may_read() && (worker.name == lease->worker || study->missed_by.contains(worker.name));
    });
    const bool certain = !outcome.storage_away() && miss == readers && (readers > 1 || !options_.workers_may_come);
    const bool waits = !certain && !StorageIsGone(*study);
    if (waits || !NobodyLeft(study->session, all)) {
      change.state = InstanceState::kDelayed;
    } else {
      change.reason = NotReadable(*study, lease->worker, outcome.reason());
    }
    return change;
  }
  change.resend = facts.index < event.suspect_end || facts.may_be_stored;
  const bool probes = lease && DestinationOf(SessionOf(*lease)).probe == event.lease &&
                      DestinationOf(SessionOf(*lease)).trouble == Destination::Trouble::kTakesEcho &&
                      TakesNothing(DestinationOf(SessionOf(*lease)));
  const bool lost = outcome.kind() == wire::Outcome::ASSOCIATION_LOST;
  if (outcome.kind() == wire::Outcome::UNANSWERED || (lost && probes)) {
    change.state = facts.state;
    change.may_be_stored |= !lost;
    return change;
  }
  change.attempts = facts.attempts + 1;
  const std::uint32_t attempts_max = study ? std::max(1U, SessionOf(*study).opened_as.attempts_max) : UINT32_MAX;
  const InstanceState again = change.attempts >= attempts_max ? InstanceState::kFailed : InstanceState::kDelayed;
  if (lost) {
    change.state = again;
    return change;
  }
  change.status = static_cast<std::uint16_t>(outcome.status());
  const StatusVerdict verdict = VerdictOf(outcome);
  if (verdict == StatusVerdict::kStored) {
    change.state = InstanceState::kStored;
    return change;
  }
  if (verdict == StatusVerdict::kStoredWithWarning) change.state = InstanceState::kStoredWithWarning;
  if (verdict == StatusVerdict::kRetry || verdict == StatusVerdict::kRetrySlower) change.state = again;
  if (verdict == StatusVerdict::kRefused && study && !StoredSome(SessionOf(*study))) change.state = again;
  change.reason = DescribeStatus(*change.status);
  if (!outcome.reason().empty()) change.reason += ": " + outcome.reason();
  return change;
}

// Applies all conclusions from a response.
void NaiveScheduler::Responded(LeaseId id, const wire::Outcome& outcome) {
  Lease& lease = *FindLease(id);
  Study& study = *FindStudy(lease.study);
  Session& session = *FindSession(study.session);
  Destination& destination = DestinationOf(session);
  const StatusVerdict verdict = VerdictOf(outcome);
  lease.responded = true;
  Answered(destination, lease.worker);
  session.answered = now_;
  session.refused_workers.clear();
  session.refused_studies.clear();
  session.unreadable_since.reset();
  study.unreadable_since.reset();
  if (quarantine_.Succeed(lease.worker, study.session)) ReadAgain(lease.worker);
  quarantine_.Confirm(study.session, now_);
  session.readers.insert(lease.worker);
  Limit& limit = limits_[destination.endpoint];
  const bool rests = limit.associations && now_ < limit.changed + options_.slow_down_min;
  if (verdict == StatusVerdict::kRetrySlower && !rests) {
    const std::uint32_t open = std::min(limit.associations.value_or(UINT32_MAX), LeasesAt(destination.endpoint));
    limit = {.associations = std::max(1U, open / 2), .changed = now_};
  }
  if (verdict == StatusVerdict::kRefused) {
    lease.unauthorized = true;
    if (!StoredSome(session)) session.unauthorized.insert(lease.study);
    const bool all =
        session.scan_complete && CountIn(studies_, [&](const Study& other) {
                                   return other.session == study.session && !session.unauthorized.contains(other.key);
                                 }) == 0;
    if (!StoredSome(session) && session.unauthorized.size() >= (all ? 2 : 32)) {
      StartEnding(study.session, wire::SESSION_REFUSED,
                  destination.name + " answered 0124 (not authorized) to different studies, and has stored nothing");
    }
  }
  if (verdict != StatusVerdict::kStored && verdict != StatusVerdict::kStoredWithWarning) return;
  session.stored_some = true;
  session.unauthorized.clear();
}

void NaiveScheduler::Record(const Reported& event, const OutcomeReported& reported) {
  Lease* lease = FindLease(event.lease);
  Study* study = FindStudy(event.study);
  const bool unreadable = reported.outcome.kind() == wire::Outcome::UNREADABLE;
  if (lease && unreadable) {
    Session& session = *FindSession(study->session);
    std::set<std::string> all = study->unreadable_by;
    all.insert(lease->worker);
    const bool nobody = NobodyLeft(study->session, all);
    const bool away = reported.outcome.storage_away();
    if (!nobody) study->unreadable_since = session.unreadable_since = std::nullopt;
    if (nobody && !study->unreadable_since) study->unreadable_since = now_;
    if (nobody && away && !session.unreadable_since) session.unreadable_since = now_;
    if (nobody && away) session.unreadable_detail = reported.outcome.reason();
  }
  const InstanceChange change = Judge(event, reported);
  if (lease && reported.outcome.kind() == wire::Outcome::RESPONDED) Responded(event.lease, reported.outcome);
  const InstanceState before = reported.facts.state;
  if (IsSettled(before)) {  // only a late confirmation that it is stored changes anything
    if (IsStored(change.state) && !IsStored(before)) out_.changes.push_back(change);
    return;
  }
  if (!lease && !IsStored(change.state)) return;
  out_.changes.push_back(change);
  const bool settles = IsSettled(change.state);
  if (study && settles) --study->unsettled;
  if (!lease) return;
  lease->settled_some |= settles;
  lease->nothing_came |= reported.outcome.kind() == wire::Outcome::UNANSWERED ||
                         reported.outcome.kind() == wire::Outcome::ASSOCIATION_LOST;
  if (change.state != InstanceState::kDelayed) return;
  if (reported.outcome.kind() == wire::Outcome::UNREADABLE) {
    lease->unreadable = change.reason;
    lease->storage_away |= reported.outcome.storage_away();
  } else {
    lease->worst_attempts = std::max(lease->worst_attempts, change.attempts);
  }
}

void NaiveScheduler::GiveBack(LeaseId id, const wire::GiveBack& give_back) {
  const Lease lease = *FindLease(id);
  End(id, true);
  Study& study = *FindStudy(lease.study);
  switch (give_back.reason()) {
    case wire::GiveBack::DONE:
      if (lease.responded || (lease.associated && !lease.nothing_came)) {
        Answered(DestinationOf(SessionOf(study)), lease.worker);
      }
      if (lease.settled_some) break;
      if (lease.unauthorized) SetBack(study);
      if (lease.unreadable.empty() && lease.worst_attempts == 0) BackOff(study, 1);
      break;
    case wire::GiveBack::DRAINING:
      break;
    default:
      GiveBackOfDestination(lease, give_back);
  }
}

void NaiveScheduler::GiveBackOfDestination(const Lease& lease, const wire::GiveBack& give_back) {
  Study& study = *FindStudy(lease.study);
  SetBack(study);
  if (!study.set_back_since) study.set_back_since = now_;
  if (give_back.echo_answered()) return TurnAway(lease, give_back);
  if (!Refuse(lease, give_back)) OutOfReach(lease, give_back);
  if (Serves(DestinationOf(SessionOf(study)), lease.worker)) BackOff(study, study.setbacks);
}

void NaiveScheduler::TurnAway(const Lease& lease, const wire::GiveBack& give_back) {
  Study& study = *FindStudy(lease.study);
  const Session& session = SessionOf(study);
  Destination& destination = DestinationOf(session);
  Echoed(destination, lease.worker);
  if (give_back.reason() == wire::GiveBack::DESTINATION_BUSY && ServesAny(destination)) {
    limits_[destination.endpoint] = {.associations = std::max(1U, LeasesAt(destination.endpoint)), .changed = now_};
    return BackOff(study, study.setbacks);
  }
  destination.set_back.insert(study.key);
  if (!lease.responded) {
    auto& turned_away = destination.turned_away[lease.worker];
    turned_away.insert(study.key);
    if (turned_away.size() > 2 && ServesAny(destination) && !Serves(destination, lease.worker)) {
      quarantine_.Fail(lease.worker, destination.name, give_back.detail(), Blame::kCertain, now_);
    }
  }
  const bool takes_none = destination.set_back.size() > 2 && !StoredSome(session);
  if (lease.nothing_came ? TakesNothing(destination) : takes_none) {
    destination.detail = give_back.detail();
    destination.refuses = give_back.reason() != wire::GiveBack::DESTINATION_TRANSIENT;
    destination.trouble = Destination::Trouble::kTakesEcho;
    if (!destination.unreachable_since) destination.unreachable_since = now_;
    if (lease.nothing_came) Break(destination);
    return BackOff(study, study.setbacks);
  }
  if (lease.nothing_came) return BackOff(study, 1);
  ++study.attempts;
  const bool used_up = study.attempts >= std::max(3U, std::max(1U, session.opened_as.attempts_max));
  const bool busy =
      give_back.reason() == wire::GiveBack::DESTINATION_BUSY && now_ < *study.set_back_since + RetryFor(session);
  if (!used_up || busy) return BackOff(study, study.attempts);
  Fail(study, fmt::format("the destination answers a C-ECHO, but did not take this study's association {} times: {}",
                          study.attempts, give_back.detail()));
}

bool NaiveScheduler::Refuse(const Lease& lease, const wire::GiveBack& give_back) {
  if (give_back.reason() != wire::GiveBack::DESTINATION_REFUSED) return false;
  const SessionKey key = FindStudy(lease.study)->session;
  Session& session = *FindSession(key);
  session.refused_workers.insert(lease.worker);
  session.refused_studies.insert(lease.study);
  const bool welcome =
      CountIn(workers_, [&](const Worker& worker) {
        return worker.capacity() > 0 && !worker.draining() && !session.refused_workers.contains(worker.name);
      }) > 0;
  const auto studies = CountIn(studies_, [&](const Study& study) { return study.session == key; });
  const auto refused = session.refused_studies.size();
  if (StoredSome(session) || welcome || (refused < 2 && refused < studies)) return false;
  StartEnding(key, wire::SESSION_REFUSED, give_back.detail());
  return true;
}

void NaiveScheduler::OutOfReach(const Lease& lease, const wire::GiveBack& give_back) {
  Destination& destination = DestinationOf(SessionOf(*FindStudy(lease.study)));
  const bool busy = give_back.reason() == wire::GiveBack::DESTINATION_BUSY;
  const bool refused = give_back.reason() == wire::GiveBack::DESTINATION_REFUSED;
  const bool rejected = give_back.reason() == wire::GiveBack::DESTINATION_REJECTED;
  const bool serves_it = Serves(destination, lease.worker);
  destination.detail = give_back.detail();
  destination.tried_by = lease.worker;
  destination.set_back.insert(lease.study);
  if (!busy && !serves_it) {
    quarantine_.Fail(lease.worker, destination.name, give_back.detail(),
                     ServesAny(destination) ? Blame::kCertain : Blame::kOpen, now_);
  }
  if (ServesAny(destination)) {
    if (busy || (serves_it && !refused)) {
      limits_[destination.endpoint] = {.associations = std::max(1U, LeasesAt(destination.endpoint)), .changed = now_};
    }
    return;
  }
  destination.refuses = refused || rejected;
  destination.trouble = busy || refused || rejected ? Destination::Trouble::kRejects : Destination::Trouble::kSilent;
  Break(destination);
}

void NaiveScheduler::Fail(Study& study, const std::string& reason) {
  if (study.unsettled > 0) out_.changes.push_back(StudyFailed{.study = study.key, .reason = reason});
  study.unsettled = 0;
  study.backoff_max.reset();
}

// --- files that cannot be read

void NaiveScheduler::NoteUnreadable(const Lease& lease) {
  if (lease.unreadable.empty()) return;
  Study& study = *FindStudy(lease.study);
  study.unreadable_by.insert(lease.worker);
  study.missed_by.erase(lease.worker);
  if (!lease.storage_away) study.missed_by.insert(lease.worker);
  SetBack(study);
  const bool nobody = NobodyLeft(study.session, study.unreadable_by);
  if (!lease.responded) {
    Session& session = *FindSession(study.session);
    session.readers.erase(lease.worker);
    const bool others = CountIn(workers_, [&](const Worker& worker) {
                          return worker.may_read() && session.readers.contains(worker.name);
                        }) > 0;
    const bool all_tried = CountIn(studies_, [&](const Study& other) {
                             return other.session == study.session && other.setbacks == 0;
                           }) == 0;
    const Blame alone = lease.storage_away && all_tried ? Blame::kCertain : Blame::kOpen;
    const Blame otherwise = nobody ? alone : Blame::kLikely;
    quarantine_.Fail(lease.worker, study.session, lease.unreadable, others ? Blame::kCertain : otherwise, now_);
  }
  if (!nobody) return;
  study.unreadable_by = {lease.worker};
  if (!lease.storage_away) ++study.unreadable_tries;
  BackOff(study, lease.storage_away ? 1 : study.unreadable_tries);
}

bool NaiveScheduler::StorageIsGone(const Study& study) const {
  const Session& session = SessionOf(study);
  if (session.unreadable_since && now_ - *session.unreadable_since >= RetryFor(session)) return true;
  if (!study.unreadable_since) return false;
  Duration patience = RetryFor(session);
  const bool read_others = session.answered && *session.answered > *study.unreadable_since;
  const bool storage_is_there = !session.unreadable_since || read_others;
  if (storage_is_there && !session.opened_as.retry_for) patience = options_.retry_for_unanswered;
  return now_ - *study.unreadable_since >= patience;
}

void NaiveScheduler::ReadAgain(const std::string& worker) {
  for (Study& study : studies_) {
    study.unreadable_by.erase(worker);
    study.missed_by.erase(worker);
  }
}

void NaiveScheduler::ForgetSettledStudies() {
  studies_done_ +=
      std::erase_if(studies_, [this](const Study& study) { return study.unsettled == 0 && !IsLeased(study); });
}

// --- backoff

void NaiveScheduler::EndBackoffs() {
  for (Study& study : studies_) {
    if (!study.backs_off_until || now_ < *study.backs_off_until) continue;
    study.backs_off_until.reset();
    study.ready_since = now_;
  }
}

void NaiveScheduler::AdoptWhatChanceDecided(const Scheduler& real) {
  for (Study& study : studies_) {
    const auto max = std::exchange(study.backoff_max, std::nullopt);
    if (!max || SessionOf(study).ending) continue;
    study.backs_off_until = real.BacksOffUntil(study.key);
    if (!study.backs_off_until || *study.backs_off_until < now_ || *study.backs_off_until > now_ + *max) {
      throw std::logic_error(fmt::format("study {} does not back off, or too long", study.key));
    }
  }
  for (Destination& destination : destinations_) {
    const auto max = std::exchange(destination.backoff_max, std::nullopt);
    if (!max) continue;
    const auto until = real.ProbesAt(destination.name);
    const TimePoint first = now_ + options_.breaker_backoff_min / 2;
    if (!until || *until < first || *until > first + *max) {
      throw std::logic_error(fmt::format("{} is not left alone, or too long", destination.name));
    }
    destination.retry_at = *until;
  }
}

// --- destinations

void NaiveScheduler::Answered(Destination& destination, const std::string& worker) {
  destination.broken = false;
  destination.probe = 0;
  destination.failures = 0;
  destination.unreachable_since.reset();
  destination.trouble = Destination::Trouble::kSilent;
  destination.answered_at = now_;
  destination.set_back.clear();
  destination.turned_away.erase(worker);
  quarantine_.Succeed(worker, destination.name);
  quarantine_.Confirm(destination.name, now_);
}

void NaiveScheduler::Echoed(Destination& destination, const std::string& worker) {
  if (destination.trouble != Destination::Trouble::kTakesEcho) {
    destination.broken = false;
    destination.probe = 0;
    destination.failures = 0;
    destination.unreachable_since.reset();
  }
  const auto turned_away = destination.turned_away.find(worker);
  if (turned_away == destination.turned_away.end() || turned_away->second.size() < 3) {
    quarantine_.Succeed(worker, destination.name);
  }
  quarantine_.Confirm(destination.name, now_);
}

// True if at least three studies were deferred and the destination has not answered since.
bool NaiveScheduler::TakesNothing(const Destination& destination) const {
  return CountIn(studies_, [&](const Study& study) {
           return destination.set_back.contains(study.key) &&
                  (!destination.answered_at || *destination.answered_at <= *study.set_back_since);
         }) > 2;
}

void NaiveScheduler::Break(Destination& destination) {
  // The association was opened before the destination was known to be broken, or it is not the probe.
  if (destination.broken && (now_ < destination.retry_at || destination.probe != 0)) return;
  if (!destination.unreachable_since) destination.unreachable_since = now_;
  destination.broken = true;
  limits_.erase(destination.endpoint);
  Duration max = options_.breaker_backoff_max;
  if (destination.trouble == Destination::Trouble::kRejects) max = std::min(max, options_.breaker_backoff_min * 4);
  if (destination.trouble == Destination::Trouble::kTakesEcho) max = options_.breaker_backoff_min;
  destination.backoff_max = Doubled(options_.breaker_backoff_min, max, destination.failures);
  ++destination.failures;
  destination.retry_at = TimePoint::max();  // until the probe has a result
}

bool NaiveScheduler::HadTheirTurn(const Session& session) const {
  const Destination& destination = DestinationOf(session);
  const bool all_tried =
      session.scan_complete && CountIn(studies_, [&](const Study& study) {
                                 return study.session == session.opened_as.session && study.setbacks == 0;
                               }) == 0;
  if (destination.trouble == Destination::Trouble::kSilent || all_tried) return true;
  const auto set_back = CountIn(studies_, [&](const Study& study) {
    return study.session == session.opened_as.session && destination.set_back.contains(study.key);
  });
  return destination.trouble == Destination::Trouble::kRejects && set_back >= 32;
}

void NaiveScheduler::RaiseLimits() {
  std::uint32_t capacity = 0;
  for (const Worker& worker : workers_) capacity += worker.capacity();
  for (auto& [endpoint, limit] : limits_) {
    if (!limit.associations || now_ < limit.changed + options_.speed_up) continue;
    ++*limit.associations;
    limit.changed = now_;
    if (*limit.associations >= capacity) limit.associations.reset();
  }
}

bool NaiveScheduler::Takes(const Destination& destination) const {
  const std::uint32_t leases = LeasesAt(destination.endpoint);
  if (destination.broken) {
    const bool full = options_.associations_max > 0 && leases >= options_.associations_max;
    return destination.probe == 0 && now_ >= destination.retry_at && !full;
  }
  const auto limit = LimitOf(destination);
  return !limit || leases < *limit;
}

std::optional<std::uint32_t> NaiveScheduler::LimitOf(const Destination& destination) const {
  const auto limit = limits_.find(destination.endpoint);
  const auto own = limit == limits_.end() ? std::nullopt : limit->second.associations;
  if (options_.associations_max == 0) return own;
  return own ? std::min(*own, options_.associations_max) : options_.associations_max;
}

bool NaiveScheduler::Serves(const Destination& destination, const std::string& worker) const {
  return CountIn(leases_, [&](const Lease& lease) {
           return lease.responded && lease.worker == worker && &DestinationOf(SessionOf(lease)) == &destination;
         }) > 0;
}

bool NaiveScheduler::ServesAny(const Destination& destination) const {
  return CountIn(leases_, [&](const Lease& lease) {
           return lease.responded && &DestinationOf(SessionOf(lease)) == &destination;
         }) > 0;
}

// --- queries

NaiveScheduler::Session* NaiveScheduler::FindSession(SessionKey key) {
  return FindIn(sessions_, [&](const Session& session) { return session.opened_as.session == key; });
}
NaiveScheduler::Study* NaiveScheduler::FindStudy(StudyKey key) {
  return FindIn(studies_, [&](const Study& study) { return study.key == key; });
}
NaiveScheduler::Lease* NaiveScheduler::FindLease(LeaseId id) {
  return FindIn(leases_, [&](const Lease& lease) { return lease.id == id; });
}
NaiveScheduler::Worker* NaiveScheduler::FindWorker(const std::string& name) {
  return FindIn(workers_, [&](const Worker& worker) { return worker.name == name; });
}
NaiveScheduler::Destination* NaiveScheduler::FindDestination(const std::string& name) {
  return FindIn(destinations_, [&](const Destination& destination) { return destination.name == name; });
}
const NaiveScheduler::Session& NaiveScheduler::SessionOf(const Study& study) const {
  return *FindIn(sessions_, [&](const Session& session) { return session.opened_as.session == study.session; });
}
const NaiveScheduler::Session& NaiveScheduler::SessionOf(const Lease& lease) const {
  return SessionOf(*FindIn(studies_, [&](const Study& study) { return study.key == lease.study; }));
}
NaiveScheduler::Destination& NaiveScheduler::DestinationOf(const Session& session) {
  return *FindDestination(session.opened_as.destination);
}
const NaiveScheduler::Destination& NaiveScheduler::DestinationOf(const Session& session) const {
  return *FindIn(destinations_,
                 [&](const Destination& destination) { return destination.name == session.opened_as.destination; });
}

bool NaiveScheduler::IsLeased(const Study& study) const {
  return CountIn(leases_, [&](const Lease& lease) { return lease.study == study.key; }) > 0;
}
bool NaiveScheduler::IsBackingOff(const Study& study) const {
  return (study.backs_off_until || study.backoff_max) && !SessionOf(study).ending;
}
bool NaiveScheduler::IsReady(const Study& study) const {
  return study.released && !IsLeased(study) && !IsBackingOff(study) && !SessionOf(study).ending;
}
bool NaiveScheduler::HasStudies(const Session& session) const {
  return CountIn(studies_, [&](const Study& study) { return study.session == session.opened_as.session; }) > 0;
}
std::uint32_t NaiveScheduler::LeasesTo(const Destination& destination) const {
  return CountIn(leases_, [&](const Lease& lease) { return &DestinationOf(SessionOf(lease)) == &destination; });
}
std::uint32_t NaiveScheduler::LeasesAt(const std::string& endpoint) const {
  return CountIn(leases_, [&](const Lease& lease) { return DestinationOf(SessionOf(lease)).endpoint == endpoint; });
}
std::uint32_t NaiveScheduler::LeasesOf(const Worker& worker) const {
  return CountIn(leases_, [&](const Lease& lease) { return lease.worker == worker.name; });
}

std::optional<StudyKey> NaiveScheduler::StudyOf(LeaseId id) const {
  const Lease* lease = FindIn(leases_, [&](const Lease& other) { return other.id == id; });
  return !lease || lease->revoked ? std::nullopt : std::optional(lease->study);
}

std::size_t NaiveScheduler::LiveLeases(SessionKey session) const {
  return CountIn(leases_, [&](const Lease& lease) { return SessionOf(lease).opened_as.session == session; });
}

bool NaiveScheduler::IsEnding(SessionKey key) const {
  return CountIn(sessions_,
                 [&](const Session& session) { return session.opened_as.session == key && session.ending; }) > 0;
}

std::string NaiveScheduler::Trouble(SessionKey key, TimePoint now) const {
  const Session* session = FindIn(sessions_, [&](const Session& other) { return other.opened_as.session == key; });
  if (!session) return "";
  const std::string trouble = TroubleOf(DestinationOf(*session), now);
  const auto until = [&](const std::string& text, const std::optional<TimePoint>& end) {
    return end && *end > now ? text + ", giving up in " + FormatWait(*end - now) : text;
  };
  if (!trouble.empty()) return until(trouble, HadTheirTurn(*session) ? PatienceEnds(*session) : std::nullopt);
  if (!session->unreadable_since) return "";
  return until(fmt::format("the files cannot be read: {}; trying again", session->unreadable_detail),
               *session->unreadable_since + RetryFor(*session));
}

std::string NaiveScheduler::TroubleOf(const Destination& destination, TimePoint now) const {
  const bool suspect = !destination.broken && destination.unreachable_since;
  if (suspect || (destination.broken && destination.probe != 0)) return destination.detail + "; trying again";
  if (destination.broken) {
    const Duration wait = std::max(destination.retry_at - now, Duration(0));
    return fmt::format("{}; trying again in {} s", destination.detail,
                       std::chrono::ceil<std::chrono::seconds>(wait).count());
  }
  const auto limit = limits_.find(destination.endpoint);
  if (limit == limits_.end() || !limit->second.associations) return "";
  return fmt::format("the destination is busy: at most {} associations", *limit->second.associations);
}

SchedulerStats NaiveScheduler::Stats() const {
  SchedulerStats stats{.studies_leased = leases_.size(),
                       .studies_done = studies_done_,
                       .leases_expired = leases_expired_,
                       .late_outcomes = late_outcomes_,
                       .workers_connected = workers_.size()};
  stats.studies_delayed = CountIn(studies_, [this](const Study& study) { return IsBackingOff(study); });
  stats.studies_pending =
      CountIn(studies_, [this](const Study& study) { return !IsBackingOff(study) && !IsLeased(study); });
  stats.breakers_open = CountIn(destinations_, [](const Destination& destination) { return destination.broken; });
  stats.workers_quarantined = quarantine_.workers();
  return stats;
}

bool NaiveScheduler::Knows(const std::string& name) const {
  return CountIn(workers_, [&](const Worker& worker) { return worker.name == name; }) > 0;
}

bool NaiveScheduler::IsSuperseded(const std::string& name, std::uint64_t incarnation) const {
  const Worker* worker = FindIn(workers_, [&](const Worker& other) { return other.name == name; });
  return worker && worker->seen && incarnation < worker->seen->incarnation;
}

std::vector<WorkerView> NaiveScheduler::Workers(TimePoint now) const {
  std::vector<WorkerView> views;
  for (const Worker& worker : workers_) {
    views.push_back({.worker = worker.name,
                     .capacity = worker.capacity(),
                     .leases = LeasesOf(worker),
                     .draining = worker.draining(),
                     .not_ready = worker.not_ready(),
                     .last_seen = now - worker.last_seen,
                     .quarantined = quarantine_.Of(worker.name)});
  }
  return views;
}

std::vector<DestinationView> NaiveScheduler::Destinations(TimePoint now) const {
  std::vector<DestinationView> views;
  for (const Destination& destination : destinations_) {
    views.push_back({.destination = destination.name,
                     .leases = LeasesTo(destination),
                     .ready = CountIn(studies_,
                                      [&](const Study& study) {
                                        return IsReady(study) && &DestinationOf(SessionOf(study)) == &destination;
                                      }),
                     .limit = LimitOf(destination),
                     .breaker_open = destination.broken,
                     .trouble = TroubleOf(destination, now)});
  }
  return views;
}

std::optional<TimePoint> NaiveScheduler::NextDeadline() const {
  std::vector<TimePoint> all;
  for (const Lease& lease : leases_) {
    all.push_back(lease.expires_at);
    if (!lease.held && !lease.revoked) all.push_back(lease.told_at + options_.grant_resend);
  }
  for (const Study& study : studies_) {
    if (IsBackingOff(study)) all.push_back(*study.backs_off_until);
  }
  for (const auto& [endpoint, limit] : limits_) {
    if (limit.associations) all.push_back(limit.changed + options_.speed_up);
  }
  for (const Destination& destination : destinations_) {
    const bool waits = destination.broken && destination.probe == 0 && destination.retry_at > now_;
    if (waits) all.push_back(destination.retry_at);
  }
  for (const Session& session : sessions_) {
    const auto patience_ends = PatienceEnds(session);
    const bool waits = patience_ends && !session.ending && LeasesTo(DestinationOf(session)) == 0;
    if (waits && *patience_ends > now_) all.push_back(*patience_ends);
    if (!session.unreadable_since) continue;
    const TimePoint gives_up = *session.unreadable_since + RetryFor(session);
    if (gives_up > now_) all.push_back(gives_up);
  }
  if (const auto next_try = quarantine_.NextTry(now_)) all.push_back(*next_try);
  for (const Worker& worker : workers_) {
    if (LeasesOf(worker) == 0) all.push_back(worker.last_seen + options_.lease_ttl);
  }
  return all.empty() ? std::nullopt : std::optional(*std::min_element(all.begin(), all.end()));
}

}  // namespace dicom_sender
