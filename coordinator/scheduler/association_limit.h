// How many associations a destination's address takes at the same time, as its answers show.
//
// No limit applies until the destination asks for one: it rejects an association while it serves others, or
// answers a C-STORE with "out of resources". Then the limit falls at once and rises again step by step, as in TCP's
// congestion control, because what the destination can take may change with its own load.
//
// Pure; time is an argument. Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>

#include "common/time.h"

namespace dicom_sender {

struct AssociationLimitOptions {
  Duration slow_down_min = std::chrono::seconds(1);  // between two halvings
  Duration speed_up = std::chrono::seconds(10);      // between two single steps up
};

class AssociationLimit {
 public:
  explicit AssociationLimit(AssociationLimitOptions options) : options_(options) {}

  // The destination takes no more associations than the `live` ones.
  void LowerTo(std::uint32_t live, TimePoint now);
  // The destination is overloaded by its `live` associations. Answers to what was sent before the last halving do not
  // halve the limit again.
  void Halve(std::uint32_t live, TimePoint now);
  bool IsDueToRise(TimePoint now) const { return value_ && now >= changed_at_ + options_.speed_up; }
  // One step up. The limit is lifted when it restricts nothing any more: at `capacity`, which all workers offer.
  void Raise(std::uint32_t capacity, TimePoint now);
  void Lift() { value_.reset(); }

  std::optional<std::uint32_t> value() const { return value_; }  // nullopt: no limit
  std::optional<TimePoint> rises_at() const {
    return value_ ? std::optional(changed_at_ + options_.speed_up) : std::nullopt;
  }

 private:
  AssociationLimitOptions options_;
  std::optional<std::uint32_t> value_;
  TimePoint changed_at_;
};

}  // namespace dicom_sender
