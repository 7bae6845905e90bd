#include "coordinator/scheduler/backoff.h"

#include <algorithm>

namespace dicom_sender {

Duration JitteredBackoff(Duration min, Duration max, std::uint32_t doublings, std::mt19937_64& random) {
  const Duration cap = std::min(max, min * (std::int64_t{1} << std::min(doublings, 20U)));
  return Duration(std::uniform_int_distribution<Duration::rep>(0, cap.count())(random));
}

}  // namespace dicom_sender
