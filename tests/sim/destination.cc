#include "tests/sim/destination.h"

#include "dicom/dimse_status.h"

namespace dicom_sender {

using End = SimDestination::Stored::End;

void SimDestination::SetAway(bool away) {
  if (away_ != away) world_.Trace("{} is {}", name_, away ? "away" : "back");
  away_ = away;
  if (away) ++generation_;
}

// The first worker may be faulty; see Plan::BadWorker.
bool IsFirst(const std::string& worker) { return worker == "w0"; }

StudyFate SimDestination::FateOf(const std::string& study) const {
  const auto fate = world_.fates.find(study);
  return fate == world_.fates.end() ? StudyFate::kGood : fate->second;
}

bool SimDestination::IsOutOfReach(const std::string& worker) const {
  const bool no_route = world_.plan.bad_worker == Plan::BadWorker::kNoRoute && IsFirst(worker);
  return no_route || world_.IsCut(worker, name_);
}

void SimDestination::Connect(const std::string& worker, const std::string& study,
                             std::function<void(Connected)> done) {
  const bool silent = IsOutOfReach(worker);
  const Duration takes = silent ? world_.plan.connect_timeout : Transit() + Transit();
  const Connected result = silent || away_ ? Connected::kNoConnection : Negotiate(worker, study);
  world_.events.After(takes, [result, done = std::move(done)] { done(result); });
}

SimDestination::Connected SimDestination::Negotiate(const std::string& worker, const std::string& study) {
  if (world_.plan.bad_worker == Plan::BadWorker::kUnwelcome && IsFirst(worker)) return Connected::kRefused;
  if (FateOf(study) == StudyFate::kTurnedAway) {
    constexpr Connected kHow[] = {Connected::kRejected, Connected::kAborted, Connected::kBusy};
    return kHow[std::hash<std::string>()(study) % std::size(kHow)];
  }
  if (world_.Fault(world_.plan.reject_transient)) return Connected::kBusy;
  if (world_.Fault(world_.plan.reject_permanent)) return Connected::kRefused;
  return Connected::kYes;
}

void SimDestination::Store(const std::string& worker, std::uint64_t association, const std::string& study,
                           const std::string& uid, std::function<void(Stored)> done) {
  const bool slow = world_.random.OneIn(12);
  const Duration transit = slow ? world_.random.Between({}, world_.plan.dimse_timeout) : Transit();
  world_.events.After(transit, [=, this, done = std::move(done)] {
    if (world_.IsCut(worker, name_)) return Lose(uid, false, world_.plan.dimse_timeout, done);
    if (association == generation_ && !away_) return Take(worker, FateOf(study), uid, done);
    if (world_.random.OneIn(2)) return Lose(uid, false, {}, done);
    done({.end = End::kLostUntouched});
  });
}

void SimDestination::Take(const std::string& worker, StudyFate fate, const std::string& uid,
                          const std::function<void(Stored)>& done) {
  const Plan& plan = world_.plan;
  if (fate == StudyFate::kLost) return Lose(uid, false, {}, done);
  if (world_.Fault(plan.abort_before)) return Lose(uid, false, {}, done);
  const bool hangs = world_.Fault(plan.hang);
  if (hangs && world_.random.OneIn(2)) return Lose(uid, true, plan.dimse_timeout, done);
  if (hangs || world_.Fault(plan.abort_after)) {
    ++world_.sent[uid].stored;
    world_.Trace("{} stores {} and does not say so", name_, uid);
    return Lose(uid, true, hangs ? plan.dimse_timeout : Duration(0), done);
  }
  Answer(worker, uid, DrawStatus(fate), done);
}

std::uint16_t SimDestination::DrawStatus(StudyFate fate) {
  const Plan& plan = world_.plan;
  if (fate == StudyFate::kNotAuthorized) return 0x0124;
  if (world_.Fault(plan.out_of_resources)) return 0xA700;
  if (world_.Fault(plan.cannot_understand)) return 0xC000;
  if (world_.Fault(plan.not_authorized)) return 0x0124;
  if (world_.Fault(plan.warning)) return 0xB000;
  return 0x0000;
}

void SimDestination::Answer(const std::string& worker, const std::string& uid, std::uint16_t status,
                            const std::function<void(Stored)>& done) {
  Sent& sent = world_.sent[uid];
  switch (JudgeStoreStatus(status)) {
    case StatusVerdict::kStored:
      ++sent.stored;
      sent.answered_success = true;
      break;
    case StatusVerdict::kStoredWithWarning:
      ++sent.stored;
      sent.answered_warning = true;
      break;
    case StatusVerdict::kRetry:
    case StatusVerdict::kRetrySlower:
      ++sent.failed_tries;
      break;
    default:
      sent.failed_for_good = true;
  }
  world_.Trace("{} answers {} {:04X} to {}", name_, uid, status, worker);
  world_.events.After(Transit(), [=, this] {
    if (world_.IsCut(worker, name_)) return Lose(uid, true, world_.plan.dimse_timeout, done);
    done({.end = End::kAnswered, .status = status});
  });
}

void SimDestination::Lose(const std::string& uid, bool sent_whole, Duration after,
                          const std::function<void(Stored)>& done) {
  world_.events.After(after + Transit(), [this, uid, sent_whole, done] {
    ++world_.sent[uid].failed_tries;
    done({.end = End::kLost, .may_be_stored = sent_whole});
  });
}

}  // namespace dicom_sender
