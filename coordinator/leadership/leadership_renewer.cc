#include "coordinator/leadership/leadership_renewer.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace dicom_sender {
namespace {

constexpr int kTriesPerTimeout = 10;
constexpr Duration::rep kExpired = 0;

Duration::rep Ticks(TimePoint time) { return time.time_since_epoch().count(); }

}  // namespace

LeadershipRenewer::LeadershipRenewer(AcquiredLeadership acquired, Duration leader_timeout, HttpCheck health)
    : epoch_(acquired.record.epoch),
      leader_timeout_(leader_timeout),
      health_(std::move(health)),
      give_up_(std::move(acquired.give_up)),
      leadership_(std::move(acquired.leadership)),
      lease_(leader_timeout, acquired.sent_at) {
  expires_at_ = Ticks(lease_.expires_at());
  renewer_ = std::thread([this] { Renew(); });
  watcher_ = std::thread([this] { WatchExpiry(); });
}

LeadershipRenewer::~LeadershipRenewer() {
  Finish(renewing_);
  give_up_->Raise();
  if (renewer_.joinable()) renewer_.join();
  Finish(watching_);
  watcher_.join();
}

void LeadershipRenewer::Finish(bool& what) {
  const Lock lock(mutex_);
  what = false;
  changed_.notify_all();
}

void LeadershipRenewer::Lose(const std::string& why) {
  {
    const Lock lock(mutex_);
    if (!why_lost_.empty()) return;
    why_lost_ = why;
    expires_at_ = kExpired;
    renewing_ = false;
    changed_.notify_all();
  }
  give_up_->Raise();
  lost_.request_stop();
}

std::string LeadershipRenewer::why_lost() const {
  const Lock lock(mutex_);
  return why_lost_;
}

void LeadershipRenewer::Renew() {
  Lock lock(mutex_);
  TimePoint next = lease_.renew_at();
  while (!changed_.wait_until(lock, next, [this] { return !renewing_; })) {
    lock.unlock();
    const TimePoint sent_at = MonotonicNow();
    std::string wrong = RenewOnce();
    lock.lock();
    why_not_renewed_ = std::move(wrong);
    next = sent_at + leader_timeout_ / kTriesPerTimeout;
    if (why_not_renewed_.empty() && Extend(sent_at)) next = lease_.renew_at();
  }
}

bool LeadershipRenewer::IsLeader() const {
  Duration::rep end = expires_at_;
  while (end != kExpired) {
    if (Ticks(MonotonicNow()) < end) return true;
    if (expires_at_.compare_exchange_weak(end, kExpired)) return false;  // otherwise it was renewed in the meantime
  }
  return false;
}

// A renewal does not revive a lease that a caller was told has expired.
bool LeadershipRenewer::Extend(TimePoint sent_at) {
  LeaderLease renewed = lease_;
  renewed.Renewed(sent_at);
  Duration::rep end = expires_at_;
  if (!IsLeader() || !expires_at_.compare_exchange_strong(end, Ticks(renewed.expires_at()))) return false;
  lease_ = renewed;
  return true;
}

// Returns why the lease was not renewed; empty if it was.
std::string LeadershipRenewer::RenewOnce() {
  if (const auto problem = health_()) return *problem;
  try {
    if (leadership_->Renew(epoch_)) return {};
    Lose("another coordinator is the leader now");
    return "another coordinator is the leader now";
  } catch (const LedgerError& error) {
    return error.what();
  }
}

void LeadershipRenewer::WatchExpiry() {
  Lock lock(mutex_);
  while (watching_ && why_lost_.empty()) {
    const TimePoint end = lease_.expires_at();
    if (end > MonotonicNow()) {
      changed_.wait_until(lock, end);
      continue;
    }
    const auto silence = std::chrono::duration<double>(MonotonicNow() - lease_.renewed_at()).count();
    const std::string why = fmt::format("the leader lease was not renewed for {:.1f} s{}{}", silence,
                                        why_not_renewed_.empty() ? "" : ": ", why_not_renewed_);
    lock.unlock();
    Lose(why);
    lock.lock();
  }
}

void LeadershipRenewer::Release() {
  Finish(renewing_);
  renewer_.join();
  if (!IsLeader()) return;
  try {
    if (leadership_->Release(epoch_)) {
      spdlog::info("Handed over the leadership, epoch {}", epoch_);
    } else {
      spdlog::warn("Did not hand over the leadership, epoch {}: another coordinator is the leader now", epoch_);
    }
  } catch (const LedgerError& error) {
    spdlog::warn("Could not hand over the leadership, epoch {}: {}; another coordinator takes over in {} s", epoch_,
                 error.what(), std::chrono::duration_cast<std::chrono::seconds>(leader_timeout_).count());
  }
}

}  // namespace dicom_sender
