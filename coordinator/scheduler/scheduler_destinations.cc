// What a destination can bear: its breaker, its limits, and how long it is waited for.
#include <algorithm>

#include "coordinator/scheduler/scheduler.h"

namespace dicom_sender {
namespace {

// A destination that rejects all associations is alive: so many studies have their turn before it is given up.
constexpr std::ptrdiff_t kRejectedStudies = 32;

}  // namespace

const std::string& Scheduler::DestinationOf(const Lease& lease) const {
  return sessions_.at(studies_.at(lease.study).session).destination;
}

void Scheduler::DestinationAnswered(const std::string& name, const std::string& worker, TimePoint now) {
  Destination& destination = destinations_.at(name);
  destination.breaker = Breaker::kClosed;
  destination.failures = 0;
  destination.unreachable_since.reset();
  destination.trouble = TroubleKind::kSilent;  // as far as the next failure does not say otherwise
  destination.answered_at = now;
  destination.set_back.clear();
  turned_away_.erase({worker, name});
  if (quarantine_.empty()) return;
  quarantine_.Succeed(worker, name);
  quarantine_.Confirm(name, now);
}

// A C-ECHO was answered, so it is no outage; instances may be lost all the same.
void Scheduler::DestinationEchoed(const std::string& name, const std::string& worker, TimePoint now) {
  Destination& destination = destinations_.at(name);
  if (destination.trouble != TroubleKind::kTakesEcho) {
    destination.breaker = Breaker::kClosed;
    destination.failures = 0;
    destination.unreachable_since.reset();
  }
  if (quarantine_.empty()) return;
  if (!IsTurnedAway(worker, name)) quarantine_.Succeed(worker, name);
  quarantine_.Confirm(name, now);
}

// Not even a C-ECHO gets through, at least not from this worker.
void Scheduler::OutOfReach(const Lease& lease, const wire::GiveBack& give_back, TimePoint now, Output& out) {
  const std::string& name = DestinationOf(lease);
  Destination& destination = destinations_.at(name);
  const wire::GiveBack::Reason reason = give_back.reason();
  const bool busy = reason == wire::GiveBack::DESTINATION_BUSY;
  const bool serves_it = Serves(destination, lease.worker);
  const Blame blame = destination.served_leases > 0 && !serves_it ? Blame::kCertain : Blame::kOpen;
  destination.detail = give_back.detail();
  destination.tried_by = lease.worker;
  destination.set_back.insert(lease.study);
  if (!busy && !serves_it) QuarantineWorker(lease.worker, name, give_back.detail(), blame, now, out);
  if (destination.served_leases > 0) {
    // It takes no more associations than these; that is not an outage. A refusal of this session's AE title says
    // nothing about them.
    if (busy || (serves_it && reason != wire::GiveBack::DESTINATION_REFUSED)) LowerLimit(destination, now);
    return;
  }
  destination.refuses =
      reason == wire::GiveBack::DESTINATION_REFUSED || reason == wire::GiveBack::DESTINATION_REJECTED;
  destination.trouble =
      reason == wire::GiveBack::DESTINATION_TRANSIENT ? TroubleKind::kSilent : TroubleKind::kRejects;
  OpenBreaker(destination, now);
}

void Scheduler::OpenBreaker(Destination& destination, TimePoint now) {
  // Associations that were tried together fail together: only the first of them counts. And whether the destination
  // is back is what its probe finds out, not one that was tried before.
  if (destination.breaker == Breaker::kOpen && destination.retry_at > now) return;
  if (destination.breaker == Breaker::kProbing) return;
  if (!destination.unreachable_since) destination.unreachable_since = now;
  destination.breaker = Breaker::kOpen;
  endpoints_.at(destination.endpoint).limit.reset();
  // Half of the span is certain: a probe at once would only repeat what was just seen.
  const Duration jittered =
      Jittered(options_.breaker_backoff_min, LongestPause(destination.trouble), destination.failures);
  destination.retry_at = now + options_.breaker_backoff_min / 2 + jittered;
  ++destination.failures;
}

// One that answers is asked more often, because another study may be taken.
Duration Scheduler::LongestPause(TroubleKind trouble) const {
  switch (trouble) {
    case TroubleKind::kSilent:
      break;
    case TroubleKind::kRejects:
      return std::min(options_.breaker_backoff_max, options_.breaker_backoff_min * 4);
    case TroubleKind::kTakesEcho:
      return options_.breaker_backoff_min;
  }
  return options_.breaker_backoff_max;
}

// The worker has a lease under which the destination has answered.
bool Scheduler::Serves(const Destination& destination, const std::string& worker) const {
  const auto it = workers_.find(worker);
  if (it == workers_.end()) return false;
  return std::any_of(it->second.leases.begin(), it->second.leases.end(), [&](LeaseId id) {
    const Lease& lease = leases_.at(id);
    return lease.responded && &destinations_.at(DestinationOf(lease)) == &destination;
  });
}

void Scheduler::LowerLimit(Destination& destination, TimePoint now) {
  Endpoint& endpoint = endpoints_.at(destination.endpoint);
  endpoint.limit = std::max(1U, endpoint.live_leases);
  endpoint.limit_changed = now;
}

void Scheduler::SlowDown(Destination& destination, TimePoint now) {
  Endpoint& endpoint = endpoints_.at(destination.endpoint);
  if (endpoint.limit && now < endpoint.limit_changed + options_.slow_down_min) return;
  endpoint.limit = std::max(1U, std::min(endpoint.limit.value_or(UINT32_MAX), endpoint.live_leases) / 2);
  endpoint.limit_changed = now;
}

void Scheduler::RaiseLimits(TimePoint now) {
  for (auto& [name, endpoint] : endpoints_) {
    if (!endpoint.limit || now < endpoint.limit_changed + options_.speed_up) continue;
    std::uint32_t capacity = 0;
    for (const auto& [worker_name, worker] : workers_) capacity += worker.capacity;
    ++*endpoint.limit;
    endpoint.limit_changed = now;
    if (*endpoint.limit >= capacity) endpoint.limit.reset();
  }
}

bool Scheduler::MayGrant(const Destination& destination, TimePoint now) const {
  const std::uint32_t live_leases = endpoints_.at(destination.endpoint).live_leases;
  switch (destination.breaker) {
    case Breaker::kClosed: {
      const auto limit = LimitOf(destination);
      return !limit || live_leases < *limit;
    }
    case Breaker::kOpen:
      return destination.retry_at <= now &&
             (options_.associations_max == 0 || live_leases < options_.associations_max);
    case Breaker::kProbing:
      return false;
  }
  return false;
}

std::optional<std::uint32_t> Scheduler::LimitOf(const Destination& destination) const {
  const auto& limit = endpoints_.at(destination.endpoint).limit;
  if (options_.associations_max == 0) return limit;
  return std::min(options_.associations_max, limit.value_or(UINT32_MAX));
}

Duration Scheduler::RetryFor(const Session& session) const {
  if (session.retry_for) return *session.retry_for;
  const bool answered = session.answered_at || session.stored_before;
  return answered ? options_.retry_for_answered : options_.retry_for_unanswered;
}

std::optional<TimePoint> Scheduler::StoragePatienceEnds(const Session& session) const {
  if (!session.unreadable_since) return std::nullopt;
  return *session.unreadable_since + RetryFor(session);
}

std::optional<TimePoint> Scheduler::PatienceEnds(const Session& session) const {
  const auto& since = destinations_.at(session.destination).unreachable_since;
  if (!since) return std::nullopt;
  return std::max(*since, session.opened) + RetryFor(session);
}

// Where the destination answers, other studies may get through.
bool Scheduler::HadTheirTurn(SessionKey key) const {
  const Session& session = sessions_.at(key);
  const Destination& destination = destinations_.at(session.destination);
  const bool all_tried = session.scan_complete && session.untried_studies == 0;
  switch (destination.trouble) {
    case TroubleKind::kSilent:
      return true;
    case TroubleKind::kRejects:
      return all_tried ||
             std::count_if(destination.set_back.begin(), destination.set_back.end(),
                           [&](StudyKey study) { return studies_.at(study).session == key; }) >= kRejectedStudies;
    case TroubleKind::kTakesEcho:
      return all_tried;
  }
  return true;
}

}  // namespace dicom_sender
