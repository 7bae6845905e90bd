#include "common/time.h"

#include <fmt/chrono.h>

#include <ctime>

namespace dicom_sender {

std::string FormatRfc3339(WallTime time) {
  const auto since_epoch = time.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since_epoch);
  const std::time_t whole = static_cast<std::time_t>(seconds.count());
  std::tm utc{};
  gmtime_r(&whole, &utc);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", utc, (since_epoch - seconds).count());
}

std::string FormatWait(Duration wait) {
  using std::chrono::ceil;
  const auto seconds = ceil<std::chrono::seconds>(wait).count();
  if (seconds < 120) return fmt::format("{} s", seconds);
  const auto minutes = ceil<std::chrono::minutes>(wait).count();
  if (minutes < 120) return fmt::format("{} min", minutes);
  const auto with_rest = [](auto count, auto per_unit, const char* unit, const char* rest_unit) {
    const auto rest = count % per_unit;
    const std::string text = fmt::format("{} {}", count / per_unit, unit);
    return rest == 0 ? text : fmt::format("{} {} {}", text, rest, rest_unit);
  };
  if (minutes < 48L * 60) return with_rest(minutes, 60, "h", "min");
  return with_rest(ceil<std::chrono::hours>(wait).count(), 24, "d", "h");
}

}  // namespace dicom_sender
