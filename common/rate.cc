#include "common/rate.h"

#include <algorithm>
#include <chrono>

namespace dicom_sender {
namespace {

constexpr Duration kWindow = std::chrono::seconds(15);
constexpr Duration kSpacing = std::chrono::milliseconds(250);
constexpr Duration kAtLeast = std::chrono::milliseconds(500);

}  // namespace

void RateMeter::Add(TimePoint now, std::uint64_t instances, std::uint64_t bytes) {
  last_ = {now, instances, bytes};
  if (samples_.empty() || now - samples_.back().time >= kSpacing) samples_.push_back(last_);
  while (samples_.size() > 2 && now - samples_[1].time >= kWindow) samples_.pop_front();
}

std::optional<Rate> RateMeter::Get() const {
  if (samples_.empty() || last_.time - samples_.front().time < kAtLeast) return std::nullopt;
  const Sample& first = samples_.front();
  const double span = std::chrono::duration<double>(last_.time - first.time).count();
  return Rate{static_cast<double>(last_.instances - first.instances) / span,
              static_cast<double>(last_.bytes - first.bytes) / span};
}

// Small files cost round trips, and large ones cost bytes. The slower of the two determines the time.
std::optional<Duration> TimeLeft(std::uint64_t instances, std::uint64_t bytes, const std::optional<Rate>& rate) {
  if (!rate) return std::nullopt;
  if (instances == 0) return Duration(0);
  if (rate->instances_per_second <= 0) return std::nullopt;
  double left = static_cast<double>(instances) / rate->instances_per_second;
  if (rate->bytes_per_second > 0) left = std::max(left, static_cast<double>(bytes) / rate->bytes_per_second);
  constexpr double kTooLong = 1000 * 24 * 3600.0;
  if (left > kTooLong) return std::nullopt;
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(left));
}

double MibPerSecond(std::uint64_t bytes, Duration elapsed) {
  const double seconds = std::chrono::duration<double>(elapsed).count();
  return seconds > 0 ? static_cast<double>(bytes) / 1048576 / seconds : 0;
}

}  // namespace dicom_sender
