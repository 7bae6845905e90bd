// Attributes the failure when a study was given back or its lease was lost. The rules are in scheduler.h.
#include <fmt/format.h>

#include <algorithm>

#include "coordinator/scheduler/scheduler.h"

namespace dicom_sender {
namespace {

// A study may use as many attempts at its association as an instance, but at least this many, because the restart of
// an archive may cost one or two.
constexpr std::uint32_t kStudyAttemptsMin = 3;

// After this many different studies were refused, the refusal counts as the destination's answer to all studies.
constexpr std::size_t kRefusedStudies = 2;

}  // namespace

void Scheduler::TakeBack(LeaseId id, const wire::GiveBack& give_back, TimePoint now, Output& out) {
  Lease lease = leases_.at(id);
  EndLease(id, true, out);
  lease.worst_attempts = std::max(lease.worst_attempts, PassOnUnreadable(lease, now, out));
  switch (give_back.reason()) {
    case wire::GiveBack::DONE:
      return TakeBackDone(lease, now);
    case wire::GiveBack::DESTINATION_TRANSIENT:
    case wire::GiveBack::DESTINATION_BUSY:
    case wire::GiveBack::DESTINATION_REJECTED:
    case wire::GiveBack::DESTINATION_REFUSED:
      return TakeBackOfDestination(lease, give_back, now, out);
    default:
      return PlaceAfterLease(lease.study, lease.worst_attempts, now);
  }
}

void Scheduler::TakeBackDone(const Lease& lease, TimePoint now) {
  const bool taken = lease.associated && !lease.lost_some;
  if (taken || lease.responded) DestinationAnswered(DestinationOf(lease), lease.worker, now);
  Study& study = studies_.at(lease.study);
  if (lease.unauthorized && !lease.settled_some) SetBack(study);
  // The worker gave the study back as done although something is left. If there was no result either, the study backs
  // off, because the same would happen again immediately.
  const bool fruitless = !lease.settled_some && lease.unreadable.empty();
  PlaceAfterLease(lease.study, std::max(lease.worst_attempts, std::uint32_t{fruitless}), now);
}

// The study's association failed. The study is at fault if a C-ECHO succeeded.
void Scheduler::TakeBackOfDestination(const Lease& lease, const wire::GiveBack& give_back, TimePoint now,
                                      Output& out) {
  Study& study = studies_.at(lease.study);
  SetBack(study);
  if (!study.set_back_since) study.set_back_since = now;
  if (give_back.echo_answered()) return TurnAway(lease, give_back, now, out);
  if (!ConcludeRefusal(lease, give_back, out)) OutOfReach(lease, give_back, now, out);
  // If the destination serves the same worker at the same time, neither the breaker nor a quarantine prevents an
  // immediate retry of the study, so it backs off.
  const bool served = Serves(destinations_.at(DestinationOf(lease)), lease.worker);
  PlaceAfterLease(lease.study, std::max(lease.worst_attempts, served ? study.setbacks : 0), now);
}

// The destination answers a C-ECHO, but not this study's association.
void Scheduler::TurnAway(const Lease& lease, const wire::GiveBack& give_back, TimePoint now, Output& out) {
  Study& study = studies_.at(lease.study);
  const Session& session = sessions_.at(study.session);
  Destination& destination = destinations_.at(session.destination);
  DestinationEchoed(session.destination, lease.worker, now);
  if (give_back.reason() == wire::GiveBack::DESTINATION_BUSY && destination.served_leases > 0) {
    LowerLimit(destination, now);  // it is busy with our own associations
    return PlaceAfterLease(lease.study, std::max(lease.worst_attempts, study.setbacks), now);
  }
  destination.set_back.insert(lease.study);
  NoteTurnedAway(lease, give_back.detail(), now, out);
  // If the destination has stored something of the session, a negotiation failed because of the study. Instances that
  // were lost on the way prove less: the destination's storage may have failed since.
  const bool takes_nothing = lease.lost_some ? TakesNothing(destination)
                                             : destination.set_back.size() >= kSeveralStudies && !StoredSome(session);
  if (takes_nothing) {
    destination.last_failure_reason = give_back.detail();
    destination.last_failure_is_refusal = give_back.reason() != wire::GiveBack::DESTINATION_TRANSIENT;
    destination.breaker.Suspect(now);
    if (lease.lost_some) OpenBreaker(destination, TroubleKind::kTakesEcho, now);
    return PlaceAfterLease(lease.study, std::max(lease.worst_attempts, study.setbacks), now);
  }
  // The lost instances used their own attempts, so some of them may fail and others may not.
  if (lease.lost_some) return PlaceAfterLease(lease.study, std::max(lease.worst_attempts, 1U), now);
  BlameStudy(lease, give_back, now, out);
}

void Scheduler::BlameStudy(const Lease& lease, const wire::GiveBack& give_back, TimePoint now, Output& out) {
  Study& study = studies_.at(lease.study);
  const Session& session = sessions_.at(study.session);
  ++study.attempts;
  // A study that was rejected temporarily is not at fault as long as the destination may just be busy.
  const bool may_be_busy =
      give_back.reason() == wire::GiveBack::DESTINATION_BUSY && now < *study.set_back_since + RetryFor(session);
  if (study.attempts < std::max(session.attempts_max, kStudyAttemptsMin) || may_be_busy) {
    return PlaceAfterLease(lease.study, std::max(lease.worst_attempts, study.attempts), now);
  }
  FailStudy(lease.study,
            fmt::format("the destination answers a C-ECHO, but did not take this study's association {} times: {}",
                        study.attempts, give_back.detail()),
            out);
}

// The worker is at fault if the destination turns it away with several studies in a row while it serves others.
void Scheduler::NoteTurnedAway(const Lease& lease, const std::string& detail, TimePoint now, Output& out) {
  if (lease.responded) return;
  const std::string& name = DestinationOf(lease);
  const Destination& destination = destinations_.at(name);
  if (!IsTurnedAway(lease.worker, name)) turned_away_[{lease.worker, name}].insert(lease.study);
  if (!IsTurnedAway(lease.worker, name) || destination.served_leases == 0) return;
  if (!Serves(destination, lease.worker)) QuarantineWorker(lease.worker, name, detail, Blame::kCertain, now, out);
}

// The destination does not know one of the AE titles, or not from this worker's address. That concerns the whole
// session if no worker is accepted and nothing was ever stored. Returns true if the session ends.
bool Scheduler::ConcludeRefusal(const Lease& lease, const wire::GiveBack& give_back, Output& out) {
  if (give_back.reason() != wire::GiveBack::DESTINATION_REFUSED) return false;
  const SessionKey key = studies_.at(lease.study).session;
  Session& session = sessions_.at(key);
  session.refused_workers.insert(lease.worker);
  session.refused_studies.insert(lease.study);
  const bool by_all = std::all_of(workers_.begin(), workers_.end(), [&](const auto& worker) {
    return worker.second.capacity == 0 || worker.second.draining || session.refused_workers.contains(worker.first);
  });
  const std::size_t wanted = std::min<std::size_t>(kRefusedStudies, session.live_studies);
  if (StoredSome(session) || !by_all || session.refused_studies.size() < wanted) return false;
  StartEnding(key, wire::SESSION_REFUSED, give_back.detail(), out);
  return true;
}

// A single lost lease may be an accident. If a study loses its leases repeatedly without any result, one of its files
// may crash every worker that decodes it.
void Scheduler::PlaceAfterLoss(const Lease& lease, TimePoint now, Output& out) {
  const std::uint32_t unreadable = PassOnUnreadable(lease, now, out);
  Study& study = studies_.at(lease.study);
  study.losses = lease.settled_some ? 0 : study.losses + 1;
  const std::uint32_t repeated = study.losses > 0 ? study.losses - 1 : 0;
  if (repeated > 0) SetBack(study);
  PlaceAfterLease(lease.study, std::max({lease.worst_attempts, repeated, unreadable}), now);
}

}  // namespace dicom_sender
