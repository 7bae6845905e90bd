#include "common/clock_watch.h"

#include <spdlog/spdlog.h>

#include <utility>

namespace dicom_sender {

std::optional<Duration> ClockWatch::SetBackBy(TimePoint now, WallTime wall) {
  const auto last = std::exchange(last_, Reading{now, wall});
  if (!last) return std::nullopt;
  const Duration back = (now - last->now) - (wall - last->wall);
  return back >= kLeast ? std::optional(back) : std::nullopt;
}

void ClockWatch::Look() {
  const TimePoint now = MonotonicNow();
  const WallTime wall = WallNow();
  if (MonotonicNow() - now > kLeast / 2) return;  // the process was stopped between the two readings
  const auto back = SetBackBy(now, wall);
  if (!back) return;
  spdlog::warn(
      "This machine's clock was set back by {:.1f} s: times in logs and reports overlap, and the coordinator may "
      "refuse a restarted worker for a while; check the time synchronization",
      std::chrono::duration<double>(*back).count());
}

}  // namespace dicom_sender
