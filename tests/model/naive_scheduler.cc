#include "tests/model/naive_scheduler.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "dicom/dimse_status.h"

namespace dicom_sender {
namespace {

// What doubles from `min` to `max`.
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
  if (!FindDestination(event.destination)) destinations_.push_back({.name = event.destination});
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
    StartEnding(session.opened_as.session, wire::SESSION_UNREACHABLE, destination.detail);
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
  std::erase_if(studies_, [&](const Study& study) { return over.contains(study.session); });
  std::erase_if(sessions_, [&](const Session& session) { return over.contains(session.opened_as.session); });
  std::erase_if(destinations_, [this](const Destination& destination) {
    return std::none_of(sessions_.begin(), sessions_.end(),
                        [&](const Session& session) { return session.opened_as.destination == destination.name; });
  });
}

std::optional<TimePoint> NaiveScheduler::PatienceEnds(const Session& session) const {
  const auto& since = DestinationOf(session).unreachable_since;
  if (!since) return std::nullopt;
  return std::max(*since, session.opened) + session.opened_as.retry_for;
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
    return LeasesOf(worker) == 0 && now_ >= worker.last_seen + options_.lease_ttl;
  });
}

void NaiveScheduler::ExpireLeases() {
  for (const Lease& lease : std::vector(leases_)) {
    if (now_ < lease.expires_at) continue;
    ++leases_expired_;
    End(lease.id, false);
  }
}

// Its study waits for another one, unless nothing is left of it.
void NaiveScheduler::End(LeaseId id, bool clean) {
  const Lease lease = *FindLease(id);
  Study& study = *FindStudy(lease.study);
  Destination& destination = DestinationOf(SessionOf(study));
  if (destination.probe == id) destination.probe = 0;
  out_.changes.push_back(LeaseEnded{.study = lease.study, .clean = clean});
  std::erase_if(leases_, [id](const Lease& other) { return other.id == id; });
  study.released = true;
  study.ready_since = now_;
  std::uint32_t in_vain = lease.worst_attempts;
  if (!clean) {
    study.losses = lease.settled_some ? 0 : study.losses + 1;
    if (study.losses > 1) {
      ++study.setbacks;
      in_vain = std::max(in_vain, study.losses - 1);
    }
  }
  if (in_vain == 0) return;
  study.backoff_max = Doubled(options_.retry_backoff_min, options_.retry_backoff_max, in_vain - 1);
}

void NaiveScheduler::Grant() {
  for (Destination& destination : destinations_) {
    while (Takes(destination)) {
      Study* study = NextReady(destination);
      const Worker* worker = destination.broken ? NextProber(destination) : FreestWorker();
      if (!study || !worker) break;
      const LeaseId id = ++last_lease_;
      leases_.push_back({.id = id,
                         .study = study->key,
                         .worker = worker->name,
                         .expires_at = now_ + options_.lease_ttl,
                         .told_at = now_});
      if (destination.broken) destination.probe = id;
      out_.queue_waits.push_back(now_ - study->ready_since);
      out_.changes.push_back(LeaseGranted{
          .study = study->key, .lease = id, .worker = worker->name, .worker_capacity = worker->capacity()});
      out_.replies.push_back(
          GrantReply{.worker = worker->name, .lease = id, .study = study->key, .session = study->session});
    }
  }
}

// Given back because of the destination as rarely as possible, then the largest.
NaiveScheduler::Study* NaiveScheduler::NextReady(const Destination& destination) {
  Study* next = nullptr;
  for (Study& study : studies_) {
    if (!IsReady(study) || &DestinationOf(SessionOf(study)) != &destination) continue;
    const auto order = [](const Study& s) { return std::tuple(s.setbacks, UINT64_MAX - s.bytes, s.key); };
    if (!next || order(study) < order(*next)) next = &study;
  }
  return next;
}

// The workers in turn: the names after the last one first.
const NaiveScheduler::Worker* NaiveScheduler::NextProber(const Destination& destination) const {
  const Worker* next = nullptr;
  for (const Worker& worker : workers_) {
    if (worker.draining() || worker.capacity() <= LeasesOf(worker)) continue;
    const auto order = [&](const Worker& w) { return std::pair(w.name <= destination.tried_by, w.name); };
    if (!next || order(worker) < order(*next)) next = &worker;
  }
  return next;
}

const NaiveScheduler::Worker* NaiveScheduler::FreestWorker() const {
  const Worker* freest = nullptr;
  const auto room = [this](const Worker& worker) {
    return std::int64_t{worker.capacity()} - std::int64_t{LeasesOf(worker)};
  };
  for (const Worker& worker : workers_) {
    if (!worker.draining() && room(worker) > (freest ? room(*freest) : 0)) freest = &worker;
  }
  return freest;
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
  for (const OutcomeReported& reported : event.outcomes) Record(event, reported);
  Lease* lease = FindLease(event.lease);
  if (!lease) return;
  lease->held = true;
  if (event.give_back) GiveBack(event.lease, *event.give_back);
}

InstanceChange NaiveScheduler::Judge(const Reported& event, const OutcomeReported& reported,
                                     std::uint32_t attempts_max) {
  const auto& [outcome, facts] = reported;
  InstanceChange change{.study = event.study,
                        .index = facts.index,
                        .state = InstanceState::kFailed,
                        .attempts = facts.attempts,
                        .status = {},
                        .reason = outcome.reason(),
                        .duration_us = outcome.duration_us(),
                        .resend = false,
                        .may_be_stored = facts.may_be_stored || outcome.may_be_stored()};
  if (outcome.kind() == wire::Outcome::NOT_SENDABLE) return change;
  change.resend = facts.index < event.suspect_end || facts.may_be_stored;
  if (outcome.kind() == wire::Outcome::UNANSWERED) {
    change.state = facts.state;
    change.may_be_stored = true;
    return change;
  }
  change.attempts = facts.attempts + 1;
  const InstanceState again = change.attempts >= attempts_max ? InstanceState::kFailed : InstanceState::kDelayed;
  if (outcome.kind() == wire::Outcome::ASSOCIATION_LOST) {
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
  change.reason = DescribeStatus(*change.status);
  if (!outcome.reason().empty()) change.reason += ": " + outcome.reason();
  return change;
}

void NaiveScheduler::Record(const Reported& event, const OutcomeReported& reported) {
  Lease* lease = FindLease(event.lease);
  Study* study = FindStudy(event.study);
  const bool responded = reported.outcome.kind() == wire::Outcome::RESPONDED;
  if (study && responded) {
    Destination& destination = DestinationOf(SessionOf(*study));
    if (lease) {
      lease->responded = true;
      Answered(destination);
    }
    const bool rests = destination.limit && now_ < destination.limit_changed + options_.slow_down_min;
    if (VerdictOf(reported.outcome) == StatusVerdict::kRetrySlower && !rests) {
      const std::uint32_t now_open = std::min(destination.limit.value_or(UINT32_MAX), LeasesTo(destination));
      destination.limit = std::max(1U, now_open / 2);
      destination.limit_changed = now_;
    }
  }
  // That we are refused says nothing about the instance.
  if (responded && VerdictOf(reported.outcome) == StatusVerdict::kRefused) return;

  const InstanceChange change =
      Judge(event, reported, study ? std::max(1U, SessionOf(*study).opened_as.attempts_max) : UINT32_MAX);
  const InstanceState before = reported.facts.state;
  if (IsSettled(before)) {  // only that it is stored may be news
    if (IsStored(change.state) && !IsStored(before)) out_.changes.push_back(change);
    return;
  }
  if (!lease && !IsSettled(change.state)) return;
  out_.changes.push_back(change);
  const bool settles = IsSettled(change.state);
  if (study && settles) --study->unsettled;
  if (!lease) return;
  lease->settled_some |= settles;
  lease->nothing_came |= reported.outcome.kind() == wire::Outcome::UNANSWERED ||
                         reported.outcome.kind() == wire::Outcome::ASSOCIATION_LOST;
  if (!settles) lease->worst_attempts = std::max(lease->worst_attempts, change.attempts);
}

void NaiveScheduler::GiveBack(LeaseId id, const wire::GiveBack& give_back) {
  const Lease lease = *FindLease(id);
  const SessionOpened refused = SessionOf(lease).opened_as;
  const std::string& name = refused.destination;
  End(id, true);
  Study& study = *FindStudy(lease.study);
  Destination& destination = *FindDestination(name);
  switch (give_back.reason()) {
    case wire::GiveBack::DONE:
      if (lease.responded || (lease.worst_attempts == 0 && !lease.nothing_came)) Answered(destination);
      if (lease.worst_attempts == 0 && !lease.settled_some) study.backoff_max = options_.retry_backoff_min;
      break;
    case wire::GiveBack::DESTINATION_TRANSIENT:
      ++study.setbacks;
      destination.tried_by = lease.worker;
      Failed(destination, give_back.detail());
      break;
    case wire::GiveBack::DESTINATION_REFUSED:
      destination.detail = give_back.detail();
      for (const Session& session : sessions_) {
        if (session.opened_as.destination != name || session.opened_as.calling_ae != refused.calling_ae) continue;
        StartEnding(session.opened_as.session, wire::SESSION_REFUSED, give_back.detail());
      }
      break;
    default:
      break;
  }
}

void NaiveScheduler::ForgetSettledStudies() {
  studies_done_ +=
      std::erase_if(studies_, [this](const Study& study) { return study.unsettled == 0 && !IsLeased(study); });
}

// --- back-offs

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

void NaiveScheduler::Answered(Destination& destination) {
  destination.broken = false;
  destination.probe = 0;
  destination.failures = 0;
  destination.unreachable_since.reset();
}

void NaiveScheduler::Failed(Destination& destination, const std::string& detail) {
  destination.detail = detail;
  const bool serves_others = std::any_of(leases_.begin(), leases_.end(), [&](const Lease& lease) {
    return lease.responded && &DestinationOf(SessionOf(lease)) == &destination;
  });
  if (serves_others) {
    destination.limit = std::max(1U, LeasesTo(destination));
    destination.limit_changed = now_;
    return;
  }
  // Tried before it was known to be broken, or not the one that is to find out.
  if (destination.broken && (now_ < destination.retry_at || destination.probe != 0)) return;
  if (!destination.unreachable_since) destination.unreachable_since = now_;
  destination.broken = true;
  destination.limit.reset();
  destination.backoff_max = Doubled(options_.breaker_backoff_min, options_.breaker_backoff_max, destination.failures);
  ++destination.failures;
  destination.retry_at = TimePoint::max();  // until it is known
}

void NaiveScheduler::RaiseLimits() {
  std::uint32_t capacity = 0;
  for (const Worker& worker : workers_) capacity += worker.capacity();
  for (Destination& destination : destinations_) {
    if (!destination.limit || now_ < destination.limit_changed + options_.speed_up) continue;
    ++*destination.limit;
    destination.limit_changed = now_;
    if (*destination.limit >= capacity) destination.limit.reset();
  }
}

bool NaiveScheduler::Takes(const Destination& destination) const {
  if (destination.broken) return destination.probe == 0 && now_ >= destination.retry_at;
  const auto limit = LimitOf(destination);
  return !limit || LeasesTo(destination) < *limit;
}

std::optional<std::uint32_t> NaiveScheduler::LimitOf(const Destination& destination) const {
  if (options_.associations_max == 0) return destination.limit;
  return destination.limit ? std::min(*destination.limit, options_.associations_max) : options_.associations_max;
}

// --- what is known

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
  return session ? TroubleOf(DestinationOf(*session), now) : "";
}

std::string NaiveScheduler::TroubleOf(const Destination& destination, TimePoint now) const {
  if (destination.broken && destination.probe != 0) return destination.detail + "; trying again";
  if (destination.broken) {
    const Duration wait = std::max(destination.retry_at - now, Duration(0));
    return fmt::format("{}; trying again in {} s", destination.detail,
                       std::chrono::ceil<std::chrono::seconds>(wait).count());
  }
  if (!destination.limit) return "";
  return fmt::format("the destination is busy: at most {} associations", *destination.limit);
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
                     .last_seen = now - worker.last_seen});
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
  for (const Destination& destination : destinations_) {
    if (destination.limit) all.push_back(destination.limit_changed + options_.speed_up);
    const bool waits = destination.broken && destination.probe == 0 && destination.retry_at > now_;
    if (waits) all.push_back(destination.retry_at);
  }
  for (const Session& session : sessions_) {
    const auto patience_ends = PatienceEnds(session);
    if (patience_ends && !session.ending && LeasesTo(DestinationOf(session)) == 0) all.push_back(*patience_ends);
  }
  for (const Worker& worker : workers_) {
    if (LeasesOf(worker) == 0) all.push_back(worker.last_seen + options_.lease_ttl);
  }
  return all.empty() ? std::nullopt : std::optional(*std::min_element(all.begin(), all.end()));
}

}  // namespace dicom_sender
