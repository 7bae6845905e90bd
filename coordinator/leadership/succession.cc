#include "coordinator/leadership/succession.h"

#include <algorithm>

namespace dicom_sender {

bool LeaderWatch::MayTake(const LeaderRecord& record, TimePoint now) {
  if (record.leader.empty()) return true;
  if (seen_ != record) {
    seen_ = record;
    seen_at_ = now;
  }
  return now - seen_at_ >= TimeoutOf(record);
}

Duration LeaderWatch::TimeoutOf(const LeaderRecord& record) const {
  return std::max(leader_timeout_, record.leader_timeout);
}

// An eighth for clocks that run at different speeds and for what is said after the last look at the clock.
TimePoint Tenure::ends_at() const { return renewed_at_ + leader_timeout_ * 7 / 8; }

// Three more are tried before the tenure ends; one that hangs is given up after a quarter of the time-out.
TimePoint Tenure::renew_at() const { return renewed_at_ + leader_timeout_ / 4; }

}  // namespace dicom_sender
