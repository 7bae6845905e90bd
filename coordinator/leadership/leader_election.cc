#include "coordinator/leadership/leader_election.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace dicom_sender {
namespace {

constexpr std::chrono::milliseconds kLookEveryMax(200);  // so that a hand-over takes less than a second
constexpr int kLooksPerTimeout = 5;
constexpr std::chrono::seconds kRetryAfter(1), kEndWithinMin(1), kEndWithinMax(10);

std::string WhyVacant(const LeaderRecord& seen, Duration timeout) {
  if (seen.epoch == 0) return "this ledger has not had a leader before";
  if (seen.leader.empty()) return "the previous leader handed over";
  return fmt::format("{} did not renew its lease for {} s", seen.leader,
                     std::chrono::duration<double>(timeout).count());
}

}  // namespace

LeaderElection::LeaderElection(const SharedLedger& ledger, std::string name, Duration leader_timeout, bool strict)
    : ledger_(ledger),
      name_(std::move(name)),
      leader_timeout_(leader_timeout),
      strict_(strict),
      watch_(leader_timeout) {}

void LeaderElection::Start() {
  thread_ = std::thread([this] { Run(); });
}

LeaderElection::~LeaderElection() {
  if (!thread_.joinable()) return;
  {
    // If the store granted a leadership that no caller receives, there would be no leader until the timeout.
    std::unique_lock lock(mutex_);
    ending_ = true;
    take_returned_.wait_for(lock, std::clamp<Duration>(leader_timeout_ / 2, kEndWithinMin, kEndWithinMax),
                            [this] { return !taking_; });
    if (own_give_up_) own_give_up_->Raise();
  }
  thread_.join();
  if (!decision_ || !*decision_) return;
  AcquiredLeadership& acquired = **decision_;
  acquired.give_up->Clear();
  try {
    acquired.leadership->Release(acquired.record.epoch);
    spdlog::info("Handed over the leadership that was just taken, epoch {}", acquired.record.epoch);
  } catch (const LedgerError& error) {
    spdlog::warn("Could not hand over the leadership that was just taken, epoch {}: {}", acquired.record.epoch,
                 error.what());
  }
}

LeaderElection::View LeaderElection::view() const {
  const std::lock_guard lock(mutex_);
  return view_;
}

std::optional<tl::expected<AcquiredLeadership, std::string>> LeaderElection::Decision() {
  const std::lock_guard lock(mutex_);
  return std::exchange(decision_, std::nullopt);
}

void LeaderElection::Run() {
  const Duration look_every = std::min<Duration>(kLookEveryMax, leader_timeout_ / kLooksPerTimeout);
  Duration pause{};
  while (!give_up_.WaitFor(pause)) {
    pause = kRetryAfter;
    try {
      if (const auto wrong = Open()) return Decide(tl::unexpected(*wrong));
      if (auto taken = LookAndTake()) return Decide(*std::move(taken));
      pause = look_every;
    } catch (const LedgerError& error) {
      SetView(std::nullopt, error.what());
    }
  }
}

void LeaderElection::Decide(tl::expected<Taken, std::string> taken) {
  const std::lock_guard lock(mutex_);
  if (taken) {
    decision_ =
        AcquiredLeadership{std::move(taken->record), taken->sent_at, std::move(own_give_up_), std::move(leadership_)};
  } else {
    decision_ = tl::unexpected(std::move(taken.error()));
  }
  changed_.Raise();
}

// Returns what a person must fix, one sentence.
std::optional<std::string> LeaderElection::Open() {
  if (leadership_) return std::nullopt;
  auto opened = ledger_.open_leadership(&give_up_);
  if (!opened) {
    if (strict_ && !opened.error().passing) return opened.error().sentence;
    throw LedgerError(opened.error().sentence);
  }
  leadership_ = *std::move(opened);
  return std::nullopt;
}

std::optional<LeaderElection::Taken> LeaderElection::LookAndTake() {
  const LeaderRecord seen = leadership_->Look();
  WarnOfOtherTimeout(seen);
  if (watch_.MayTakeOver(seen, MonotonicNow())) return Take(seen);
  SetView(seen, {});
  return std::nullopt;
}

std::optional<LeaderElection::Taken> LeaderElection::Take(const LeaderRecord& seen) {
  {
    const std::lock_guard lock(mutex_);
    if (ending_) return std::nullopt;
    taking_ = true;
  }
  const auto returned = [this] {
    const std::lock_guard lock(mutex_);
    taking_ = false;
    take_returned_.notify_all();
  };
  const TimePoint sent_at = MonotonicNow();
  std::optional<LeaderRecord> record;
  try {
    record = leadership_->Take(seen, name_);
  } catch (const LedgerError&) {
    returned();
    throw;
  }
  returned();
  if (!record) return std::nullopt;
  spdlog::info("Elected leader, epoch {}: {}", record->epoch, WhyVacant(seen, watch_.TimeoutOf(seen)));
  return Taken{*std::move(record), sent_at};
}

void LeaderElection::WarnOfOtherTimeout(const LeaderRecord& seen) {
  const Duration other = seen.leader_timeout;
  if (seen.leader.empty() || other == Duration() || other == leader_timeout_ || warned_of_ == other) return;
  warned_of_ = other;
  const auto in_seconds = [](Duration duration) { return std::chrono::duration<double>(duration).count(); };
  spdlog::warn(
      "--leader-timeout: {} s at the leader, {}, but {} s here, so the longer one applies; give all coordinators the "
      "same value",
      in_seconds(other), seen.leader, in_seconds(leader_timeout_));
}

void LeaderElection::SetView(std::optional<LeaderRecord> record, const std::string& trouble) {
  if (give_up_.raised()) return;
  const std::lock_guard lock(mutex_);
  // A renewal alone is not reported as a change.
  const bool same = view_.trouble == trouble && view_.record.has_value() == record.has_value() &&
                    (!record || (view_.record->epoch == record->epoch && view_.record->leader == record->leader));
  view_ = {std::move(record), trouble};
  if (!same) changed_.Raise();
}

}  // namespace dicom_sender
