#include "coordinator/program/candidate.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace dicom_sender {
namespace {

constexpr std::chrono::milliseconds kLookEveryMax(200);  // a leader that hands over is followed within a second
constexpr int kLooksPerTimeout = 5;
constexpr std::chrono::seconds kTryAgainAfter(1);

std::string WhyItIsFree(const LeaderRecord& seen, Duration leader_timeout) {
  if (seen.epoch == 0) return "nobody has led before";
  if (seen.leader.empty()) return "the leader before has handed over";
  return fmt::format("{} was silent for {} s", seen.leader, std::chrono::duration<double>(leader_timeout).count());
}

}  // namespace

Candidate::Candidate(const LedgerStore& store, std::string name, Duration leader_timeout, bool strict)
    : store_(store),
      name_(std::move(name)),
      leader_timeout_(leader_timeout),
      strict_(strict),
      watch_(leader_timeout),
      thread_([this] { Run(); }) {}

Candidate::~Candidate() {
  {
    const std::lock_guard lock(mutex_);
    if (own_give_up_) own_give_up_->Raise();
  }
  thread_.join();
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
  const TimePoint now = MonotonicNow();
  if (!watch_.MayTake(seen, now)) {
    Note(seen, {});
    return std::nullopt;
  }
  auto record = leadership_->Take(seen, name_);
  if (!record) return std::nullopt;  // somebody else was faster
  spdlog::info("Leading now, epoch {}: {}", record->epoch, WhyItIsFree(seen, leader_timeout_));
  return Taken{*std::move(record), now};
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
