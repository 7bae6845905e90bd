#include "coordinator/program/keeper.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace dicom_sender {
namespace {

constexpr int kTriesPerTimeout = 10;

Duration::rep Ticks(TimePoint time) { return time.time_since_epoch().count(); }

}  // namespace

Keeper::Keeper(Mandate mandate, Duration leader_timeout, HttpCheck well)
    : epoch_(mandate.record.epoch),
      leader_timeout_(leader_timeout),
      well_(std::move(well)),
      give_up_(std::move(mandate.give_up)),
      leadership_(std::move(mandate.leadership)),
      tenure_(leader_timeout, mandate.taken_at) {
  ends_at_ = Ticks(tenure_.ends_at());
  renewer_ = std::thread([this] { Renew(); });
  watcher_ = std::thread([this] { WatchEnd(); });
}

Keeper::~Keeper() {
  Finish(renewing_);
  give_up_->Raise();
  if (renewer_.joinable()) renewer_.join();
  Finish(watching_);
  watcher_.join();
}

void Keeper::Finish(bool& what) {
  const Lock lock(mutex_);
  what = false;
  changed_.notify_all();
}

void Keeper::Lose(const std::string& why) {
  {
    const Lock lock(mutex_);
    if (!why_lost_.empty()) return;
    why_lost_ = why;
    ends_at_ = 0;
    renewing_ = false;
    changed_.notify_all();
  }
  give_up_->Raise();
  lost_.request_stop();
}

std::string Keeper::why_lost() const {
  const Lock lock(mutex_);
  return why_lost_;
}

void Keeper::Renew() {
  Lock lock(mutex_);
  TimePoint next = tenure_.renew_at();
  while (!changed_.wait_until(lock, next, [this] { return !renewing_; })) {
    lock.unlock();
    const TimePoint sent_at = MonotonicNow();
    std::string wrong = RenewOnce();
    lock.lock();
    why_not_renewed_ = std::move(wrong);
    next = sent_at + leader_timeout_ / kTriesPerTimeout;
    // Who has been told that the tenure is over is not told otherwise.
    if (!why_not_renewed_.empty() || !tenure_.Leads(MonotonicNow())) continue;
    tenure_.Renewed(sent_at);
    if (why_lost_.empty()) ends_at_ = Ticks(tenure_.ends_at());
    next = tenure_.renew_at();
  }
}

// What is wrong; empty: it is renewed.
std::string Keeper::RenewOnce() {
  if (const auto wrong = well_()) return *wrong;
  try {
    if (leadership_->Renew(epoch_)) return {};
    Lose("another coordinator leads now");
    return "another coordinator leads now";
  } catch (const LedgerError& error) {
    return error.what();
  }
}

void Keeper::WatchEnd() {
  Lock lock(mutex_);
  while (watching_ && why_lost_.empty()) {
    const TimePoint end = tenure_.ends_at();
    if (end > MonotonicNow()) {
      changed_.wait_until(lock, end);
      continue;
    }
    const auto silence = std::chrono::duration<double>(leader_timeout_).count();
    const std::string why = fmt::format("the leadership was not renewed for {} s{}{}", silence,
                                        why_not_renewed_.empty() ? "" : ": ", why_not_renewed_);
    lock.unlock();
    Lose(why);
    lock.lock();
  }
}

void Keeper::Release() {
  Finish(renewing_);
  renewer_.join();
  if (!Leads()) return;
  try {
    leadership_->Release(epoch_);
    spdlog::info("Handed over");
  } catch (const LedgerError& error) {
    spdlog::warn("The leadership could not be handed over: {}; another coordinator takes it in {} s", error.what(),
                 std::chrono::duration_cast<std::chrono::seconds>(leader_timeout_).count());
  }
}

}  // namespace dicom_sender
