#include "coordinator/leadership/leader_lease.h"

#include <algorithm>

namespace dicom_sender {

bool LeaderWatch::MayTakeOver(const LeaderRecord& record, TimePoint now) {
  if (record.leader.empty()) return true;
  if (seen_ != record) {
    seen_ = record;
    unchanged_since_ = now;
  }
  return now - unchanged_since_ >= TimeoutOf(record);
}

Duration LeaderWatch::TimeoutOf(const LeaderRecord& record) const {
  return std::max(leader_timeout_, record.leader_timeout);
}

// The remaining eighth allows for clocks that run at different speeds, and for messages that are sent after the last
// check of the clock.
TimePoint LeaderLease::expires_at() const { return renewed_at_ + leader_timeout_ * 7 / 8; }

// A renewal that hangs is given up after another quarter of the timeout, so several can be tried before the lease
// expires.
TimePoint LeaderLease::renew_at() const { return renewed_at_ + leader_timeout_ / 4; }

}  // namespace dicom_sender
