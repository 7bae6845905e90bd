#include "programs/coordinator/candidate.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace dicom_sender {
namespace {

constexpr std::chrono::milliseconds kLookEveryMax(200);  // a leader that hands over is followed within a second
constexpr int kLooksPerTimeout = 5;
constexpr std::chrono::seconds kTryAgainAfter(1), kEndWithinMin(1), kEndWithinMax(10);

std::string WhyItIsFree(const LeaderRecord& seen, Duration silence) {
  if (seen.epoch == 0) return "nobody has led before";
  if (seen.leader.empty()) return "the leader before has handed over";
  return fmt::format("{} was silent for {} s", seen.leader, std::chrono::duration<double>(silence).count());
}

}  // namespace

Candidate::Candidate(const LedgerStore& store, std::string name, Duration leader_timeout, bool strict)
    : store_(store),
      name_(std::move(name)),
      leader_timeout_(leader_timeout),
      strict_(strict),
      watch_(leader_timeout) {}

void Candidate::Start() {
  thread_ = std::thread([this] { Run(); });
}

Candidate::~Candidate() {
  if (!thread_.joinable()) return;
  {
    // The store may grant what nobody waits for any more: nobody would lead until the time-out.
    std::unique_lock lock(mutex_);
    ends_ = true;
    has_taken_.wait_for(lock, std::clamp<Duration>(leader_timeout_ / 2, kEndWithinMin, kEndWithinMax),
                        [this] { return !taking_; });
    if (own_give_up_) own_give_up_->Raise();
  }
  thread_.join();
  if (!decision_ || !*decision_) return;
  Mandate& mandate = **decision_;
  mandate.give_up->Clear();
  try {
    mandate.leadership->Release(mandate.record.epoch);
    spdlog::info("Handed over what was taken just now, epoch {}", mandate.record.epoch);
  } catch (const LedgerError& error) {
    spdlog::warn("The leadership that was taken just now could not be handed over: {}", error.what());
  }
}

Candidate::View Candidate::view() const {
  const std::lock_guard lock(mutex_);
  return view_;
}

std::optional<tl::expected<Mandate, std::string>> Candidate::Decision() {
  const std::lock_guard lock(mutex_);
  return std::exchange(decision_, std::nullopt);
}

void Candidate::Run() {
  const Duration look_every = std::min<Duration>(kLookEveryMax, leader_timeout_ / kLooksPerTimeout);
  Duration pause{};
  while (!give_up_.WaitFor(pause)) {
    pause = kTryAgainAfter;
    try {
      if (const auto wrong = Open()) return Decide(tl::unexpected(*wrong));
      if (auto taken = LookAndTake()) return Decide(*std::move(taken));
      pause = look_every;
    } catch (const LedgerError& error) {
      Note(std::nullopt, error.what());
    }
  }
}

void Candidate::Decide(tl::expected<Taken, std::string> taken) {
  const std::lock_guard lock(mutex_);
  if (taken) {
    decision_ = Mandate{std::move(taken->record), taken->at, std::move(own_give_up_), std::move(leadership_)};
  } else {
    decision_ = tl::unexpected(std::move(taken.error()));
  }
  news_.Raise();
}

// What a person must mend, one sentence.
std::optional<std::string> Candidate::Open() {
  if (leadership_) return std::nullopt;
  auto opened = store_.open_leadership(&give_up_);
  if (!opened) {
    if (strict_ && !opened.error().passing) return opened.error().sentence;
    throw LedgerError(opened.error().sentence);
  }
  leadership_ = *std::move(opened);
  return std::nullopt;
}

std::optional<Candidate::Taken> Candidate::LookAndTake() {
  const LeaderRecord seen = leadership_->Look();
  WarnOfOtherTimeout(seen);
  if (watch_.MayTake(seen, MonotonicNow())) return Take(seen);
  Note(seen, {});
  return std::nullopt;
}

std::optional<Candidate::Taken> Candidate::Take(const LeaderRecord& seen) {
  {
    const std::lock_guard lock(mutex_);
    if (ends_) return std::nullopt;
    taking_ = true;
  }
  const auto taken = [this] {
    const std::lock_guard lock(mutex_);
    taking_ = false;
    has_taken_.notify_all();
  };
  const TimePoint sent_at = MonotonicNow();
  std::optional<LeaderRecord> record;
  try {
    record = leadership_->Take(seen, name_);
  } catch (const LedgerError&) {
    taken();
    throw;
  }
  taken();
  if (!record) return std::nullopt;
  spdlog::info("Leading now, epoch {}: {}", record->epoch, WhyItIsFree(seen, watch_.TimeoutOf(seen)));
  return Taken{*std::move(record), sent_at};
}

void Candidate::WarnOfOtherTimeout(const LeaderRecord& seen) {
  const Duration other = seen.leader_timeout;
  if (seen.leader.empty() || other == Duration() || other == leader_timeout_ || warned_of_ == other) return;
  warned_of_ = other;
  const auto in_seconds = [](Duration duration) { return std::chrono::duration<double>(duration).count(); };
  spdlog::warn("{} leads with --leader-timeout {}, and here it is {}: the longer one counts; give all the same",
               seen.leader, in_seconds(other), in_seconds(leader_timeout_));
}

void Candidate::Note(std::optional<LeaderRecord> record, const std::string& trouble) {
  if (give_up_.raised()) return;
  const std::lock_guard lock(mutex_);
  // A renewal is no news.
  const bool same = view_.trouble == trouble && view_.record.has_value() == record.has_value() &&
                    (!record || (view_.record->epoch == record->epoch && view_.record->leader == record->leader));
  view_ = {std::move(record), trouble};
  if (!same) news_.Raise();
}

}  // namespace dicom_sender
