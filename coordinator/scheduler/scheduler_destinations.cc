// Limits the load of a destination, and decides when to give it up.
#include <algorithm>

#include "coordinator/scheduler/scheduler.h"

namespace dicom_sender {
namespace {

// A destination that rejects all associations is alive, so this many studies have their turn before it is given up.
constexpr std::ptrdiff_t kRejectedStudies = 32;

}  // namespace

const std::string& Scheduler::DestinationOf(const Lease& lease) const {
  return sessions_.at(studies_.at(lease.study).session).destination;
}

void Scheduler::DestinationAnswered(const std::string& name, const std::string& worker, TimePoint now) {
  Destination& destination = destinations_.at(name);
  destination.breaker.OnAnswer();
  destination.answered_at = now;
  destination.set_back.clear();
  turned_away_.erase({worker, name});
  if (quarantine_.empty()) return;
  quarantine_.Succeed(worker, name);
  quarantine_.Confirm(name, now);
}

// The destination answered a C-ECHO, so this is not an outage. It may lose instances nevertheless.
void Scheduler::DestinationEchoed(const std::string& name, const std::string& worker, TimePoint now) {
  destinations_.at(name).breaker.OnEcho();
  if (quarantine_.empty()) return;
  if (!IsTurnedAway(worker, name)) quarantine_.Succeed(worker, name);
  quarantine_.Confirm(name, now);
}

// Not even a C-ECHO succeeded, at least not from this worker.
void Scheduler::OutOfReach(const Lease& lease, const wire::GiveBack& give_back, TimePoint now, Output& out) {
  const std::string& name = DestinationOf(lease);
  Destination& destination = destinations_.at(name);
  const wire::GiveBack::Reason reason = give_back.reason();
  const bool busy = reason == wire::GiveBack::DESTINATION_BUSY;
  const bool serves_it = Serves(destination, lease.worker);
  const Blame blame = destination.served_leases > 0 && !serves_it ? Blame::kCertain : Blame::kOpen;
  destination.last_failure_reason = give_back.detail();
  destination.last_unreachable_from = lease.worker;
  destination.set_back.insert(lease.study);
  if (!busy && !serves_it) QuarantineWorker(lease.worker, name, give_back.detail(), blame, now, out);
  if (destination.served_leases > 0) {
    // The destination takes no more associations than these, which is not an outage. A refusal of this session's AE
    // title says nothing about them.
    if (busy || (serves_it && reason != wire::GiveBack::DESTINATION_REFUSED)) LowerLimit(destination, now);
    return;
  }
  destination.last_failure_is_refusal =
      reason == wire::GiveBack::DESTINATION_REFUSED || reason == wire::GiveBack::DESTINATION_REJECTED;
  const bool silent = reason == wire::GiveBack::DESTINATION_TRANSIENT;
  OpenBreaker(destination, silent ? TroubleKind::kSilent : TroubleKind::kRejects, now);
}

void Scheduler::OpenBreaker(Destination& destination, TroubleKind trouble, TimePoint now) {
  const bool opened = destination.breaker.OnFailure(trouble, now, random_);
  if (opened) endpoints_.at(destination.endpoint).limit.Lift();
}

// True if the destination has answered under a lease that this worker holds.
bool Scheduler::Serves(const Destination& destination, const std::string& worker) const {
  const auto it = workers_.find(worker);
  if (it == workers_.end()) return false;
  return std::any_of(it->second.leases.begin(), it->second.leases.end(), [&](LeaseId id) {
    const Lease& lease = leases_.at(id);
    return lease.responded && &destinations_.at(DestinationOf(lease)) == &destination;
  });
}

void Scheduler::LowerLimit(const Destination& destination, TimePoint now) {
  Endpoint& endpoint = endpoints_.at(destination.endpoint);
  endpoint.limit.LowerTo(endpoint.live_leases, now);
}

void Scheduler::SlowDown(const Destination& destination, TimePoint now) {
  Endpoint& endpoint = endpoints_.at(destination.endpoint);
  endpoint.limit.Halve(endpoint.live_leases, now);
}

void Scheduler::RaiseLimits(TimePoint now) {
  for (auto& [name, endpoint] : endpoints_) {
    if (!endpoint.limit.IsDueToRise(now)) continue;
    std::uint32_t capacity = 0;
    for (const auto& [worker_name, worker] : workers_) capacity += worker.capacity;
    endpoint.limit.Raise(capacity, now);
  }
}

bool Scheduler::MayGrant(const Destination& destination, TimePoint now) const {
  const std::uint32_t live_leases = endpoints_.at(destination.endpoint).live_leases;
  if (destination.breaker.IsClosed()) {
    const auto limit = LimitOf(destination);
    return !limit || live_leases < *limit;
  }
  const bool has_room = options_.associations_max == 0 || live_leases < options_.associations_max;
  return destination.breaker.MayProbe(now) && has_room;
}

std::optional<std::uint32_t> Scheduler::LimitOf(const Destination& destination) const {
  const auto limit = endpoints_.at(destination.endpoint).limit.value();
  if (options_.associations_max == 0) return limit;
  return std::min(options_.associations_max, limit.value_or(UINT32_MAX));
}

// True if the lease probes whether a destination that answers a C-ECHO still loses instances. Unless several
// different studies lost something, the fault may be theirs.
bool Scheduler::IsSuspectProbe(const Destination& destination, LeaseId lease) const {
  return destination.breaker.probe() == lease && destination.breaker.trouble() == TroubleKind::kTakesEcho &&
         TakesNothing(destination);
}

// True if the destination lost instances of several studies and has not taken anything since their first losses.
bool Scheduler::TakesNothing(const Destination& destination) const {
  std::size_t studies = 0;
  for (const StudyKey key : destination.set_back) {
    const auto& since = studies_.at(key).set_back_since;
    studies += !destination.answered_at || *destination.answered_at <= *since;
    if (studies >= kSeveralStudies) return true;
  }
  return false;
}

bool Scheduler::IsTurnedAway(const std::string& worker, const std::string& destination) const {
  const auto studies = turned_away_.find({worker, destination});
  return studies != turned_away_.end() && studies->second.size() >= kSeveralStudies;
}

Duration Scheduler::RetryFor(const Session& session) const {
  if (session.retry_for) return *session.retry_for;
  const bool answered = session.answered_at || session.stored_before;
  return answered ? options_.retry_for_answered : options_.retry_for_unanswered;
}

std::optional<TimePoint> Scheduler::PatienceEnds(const Session& session) const {
  const auto since = destinations_.at(session.destination).breaker.unreachable_since();
  if (!since) return std::nullopt;
  return std::max(*since, session.opened) + RetryFor(session);
}

// If the destination answers at all, it may take other studies, so it is given up only after they were tried.
bool Scheduler::HadTheirTurn(SessionKey key) const {
  const Session& session = sessions_.at(key);
  const Destination& destination = destinations_.at(session.destination);
  const bool all_tried = session.scan_complete && session.untried_studies == 0;
  switch (destination.breaker.trouble()) {
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
