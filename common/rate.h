// The throughput of a session, over the last seconds and as a whole, and how long the rest takes at that rate. Pure.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "common/time.h"

namespace dicom_sender {

struct Rate {
  double instances_per_second = 0;
  double bytes_per_second = 0;
};

// Averages over the last seconds only, so that it shows pauses and changes of speed.
class RateMeter {
 public:
  // Times and counts must not decrease.
  void Add(TimePoint now, std::uint64_t instances, std::uint64_t bytes);
  std::optional<Rate> Get() const;  // nullopt: too early to tell

 private:
  struct Sample {
    TimePoint time;
    std::uint64_t instances = 0;
    std::uint64_t bytes = 0;
  };
  std::deque<Sample> samples_;  // of the last seconds, bounded in number
  Sample last_;
};

// Estimates the time for the given numbers of pending instances and bytes. Returns nullopt if it cannot be estimated.
std::optional<Duration> TimeLeft(std::uint64_t instances, std::uint64_t bytes, const std::optional<Rate>& rate);

// The throughput of a whole session; 0 if no time has passed.
double MibPerSecond(std::uint64_t bytes, Duration elapsed);

}  // namespace dicom_sender
