// How fast a session moves, over the last seconds and as a whole, and how long the rest takes at that rate. Pure.
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

// Looks at the last seconds only, so that a pause or a change of speed shows.
class RateMeter {
 public:
  // Times and counts must not go down.
  void Add(TimePoint now, std::uint64_t instances, std::uint64_t bytes);
  std::optional<Rate> Get() const;  // nullopt: too early to tell

 private:
  struct Sample {
    TimePoint time;
    std::uint64_t instances = 0;
    std::uint64_t bytes = 0;
  };
  std::deque<Sample> samples_;  // a bounded number of the last seconds, and `last_`
  Sample last_;
};

// For so many pending instances and bytes. Nullopt: it cannot be estimated.
std::optional<Duration> TimeLeft(std::uint64_t instances, std::uint64_t bytes, const std::optional<Rate>& rate);

// Over a whole session; 0 if no time has passed.
double MibPerSecond(std::uint64_t bytes, Duration elapsed);

}  // namespace dicom_sender
