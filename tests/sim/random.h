// The only source of randomness in a simulation, so that a seed reproduces it.
#pragma once

#include <cstdint>

#include "common/time.h"

namespace dicom_sender {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t Next() {  // SplitMix64
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15U;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27) * 0x94D049BB133111EBU;
    return z ^ z >> 31;
  }
  std::uint64_t Below(std::uint64_t end) { return Next() % end; }
  std::uint32_t From(std::uint32_t first, std::uint32_t last) {
    return first + static_cast<std::uint32_t>(Below(last - first + 1));
  }
  bool OneIn(std::uint64_t n) { return Below(n) == 0; }
  bool Chance(std::uint32_t in_a_thousand) { return Below(1000) < in_a_thousand; }
  Duration Between(Duration first, Duration last) {
    return first +
           Duration(static_cast<Duration::rep>(Below(static_cast<std::uint64_t>((last - first).count()) + 1)));
  }

 private:
  std::uint64_t state_;
};

}  // namespace dicom_sender
