#include "coordinator/scheduler/association_limit.h"

#include <algorithm>

namespace dicom_sender {

void AssociationLimit::LowerTo(std::uint32_t live, TimePoint now) {
  value_ = std::max(1U, live);
  changed_at_ = now;
}

void AssociationLimit::Halve(std::uint32_t live, TimePoint now) {
  if (value_ && now < changed_at_ + options_.slow_down_min) return;
  value_ = std::max(1U, std::min(value_.value_or(UINT32_MAX), live) / 2);
  changed_at_ = now;
}

void AssociationLimit::Raise(std::uint32_t capacity, TimePoint now) {
  if (!value_) return;
  ++*value_;
  changed_at_ = now;
  if (*value_ >= capacity) value_.reset();
}

}  // namespace dicom_sender
