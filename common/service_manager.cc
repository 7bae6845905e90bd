#include "common/service_manager.h"

#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>

#include "common/text.h"

namespace dicom_sender {
namespace {

Duration PingInterval() {
  std::uint64_t microseconds = 0;
  if (sd_watchdog_enabled(/*unset_environment=*/0, &microseconds) <= 0) return Duration::zero();
  return std::chrono::microseconds(std::max<std::uint64_t>(microseconds / 2, 1));
}

void Notify(const std::string& message) {
  const int sent = sd_notify(/*unset_environment=*/0, message.c_str());
  if (sent >= 0) return;
  spdlog::warn("Cannot send {} to the service manager at $NOTIFY_SOCKET: {}", message.substr(0, message.find('\n')),
               std::strerror(-sent));
}

}  // namespace

ServiceManager::ServiceManager(HttpCheck health, std::stop_token stop)
    : health_(std::move(health)),
      stop_(std::move(stop)),
      listened_to_(std::getenv("NOTIFY_SOCKET") != nullptr),
      ping_every_(PingInterval()) {
  if (listened_to_) thread_ = std::thread([this] { Run(); });
}

ServiceManager::~ServiceManager() {
  if (!thread_.joinable()) return;
  ended_ = true;
  wake_.Raise();
  thread_.join();
}

void ServiceManager::Ready(const std::string& status) const {
  if (listened_to_) Notify(fmt::format("READY=1\nSTATUS={}", ToPrintable(status)));
}

void ServiceManager::Run() {
  const std::stop_callback on_stop(stop_, [this] { wake_.Raise(); });
  bool stopping = false;
  while (!stopping || !ended_) {
    if (!stopping && (ended_ || stop_.stop_requested())) {
      stopping = true;
      Notify("STOPPING=1\nSTATUS=stopping");
      continue;
    }
    PingIfWell();
    pollfd fd = {wake_.fd(), POLLIN, 0};
    poll(&fd, 1, MillisecondsToPing());
    wake_.Clear();
  }
}

void ServiceManager::PingIfWell() {
  if (ping_every_ == Duration::zero() || MonotonicNow() < next_ping_) return;
  next_ping_ = MonotonicNow() + ping_every_;
  const auto wrong = health_ ? health_() : std::nullopt;
  if (!wrong) Notify("WATCHDOG=1");
  if (wrong && well_) spdlog::error("Unhealthy: {}; the service manager's watchdog is no longer notified", *wrong);
  well_ = !wrong;
}

int ServiceManager::MillisecondsToPing() const {
  if (ping_every_ == Duration::zero()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(next_ping_ - MonotonicNow()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000));
}

}  // namespace dicom_sender
