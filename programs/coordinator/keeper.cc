#include "programs/coordinator/keeper.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace dicom_sender {
namespace {

constexpr int kTriesPerTimeout = 10;
constexpr Duration::rep kIsOver = 0;

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
    ends_at_ = kIsOver;
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
    if (why_not_renewed_.empty() && Prolong(sent_at)) next = tenure_.renew_at();
  }
}

bool Keeper::Leads() const {
  Duration::rep end = ends_at_;
  while (end != kIsOver) {
    if (Ticks(MonotonicNow()) < end) return true;
    if (ends_at_.compare_exchange_weak(end, kIsOver)) return false;  // it may have been renewed just now
  }
  return false;
}

// Who has been told that the tenure is over is not told otherwise.
bool Keeper::Prolong(TimePoint sent_at) {
  Tenure renewed = tenure_;
  renewed.Renewed(sent_at);
  Duration::rep end = ends_at_;
  if (!Leads() || !ends_at_.compare_exchange_strong(end, Ticks(renewed.ends_at()))) return false;
  tenure_ = renewed;
  return true;
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
    const auto silence = std::chrono::duration<double>(MonotonicNow() - tenure_.renewed_at()).count();
    const std::string why = fmt::format("the leadership was not renewed for {:.1f} s{}{}", silence,
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
    if (leadership_->Release(epoch_)) {
      spdlog::info("Handed over");
    } else {
      spdlog::warn("There was nothing to hand over: another coordinator leads now");
    }
  } catch (const LedgerError& error) {
    spdlog::warn("The leadership could not be handed over: {}; another coordinator takes it in {} s", error.what(),
                 std::chrono::duration_cast<std::chrono::seconds>(leader_timeout_).count());
  }
}

}  // namespace dicom_sender
