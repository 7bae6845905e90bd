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

}  // namespace dicom_sender
