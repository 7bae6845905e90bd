// How long to wait before something is tried again.
#pragma once

#include <cstdint>
#include <random>

#include "common/time.h"

namespace dicom_sender {

// A random time of at most `min`, doubled `doublings` times, and at most `max` (full jitter): studies and probes that
// failed together are not tried again together.
Duration JitteredBackoff(Duration min, Duration max, std::uint32_t doublings, std::mt19937_64& random);

}  // namespace dicom_sender
