// When a standby may take over, and how long a leader may act as the leader.
//
// All times are durations on the local monotonic clock; no clock is compared with another one. These rules make a
// failover quick and silence a former leader. Safety does not depend on them or on clocks: the ledger rejects every
// transaction of an earlier epoch (coordinator/ledger/leadership.h).
//
// Limit: the monotonic clock stands still while the host, or the virtual machine, is suspended. After it wakes up, a
// former leader still considers itself the leader for the rest of its lease, at most seven eighths of the leader
// timeout, even if another leader took over hours ago. Until its next renewal or transaction, it may answer with
// outdated facts. It cannot write anything, because all writes are fenced.
#pragma once

#include "common/time.h"
#include "coordinator/ledger/leadership.h"

namespace dicom_sender {

// A standby's view of the leader.
class LeaderWatch {
 public:
  explicit LeaderWatch(Duration leader_timeout) : leader_timeout_(leader_timeout) {}

  // `record` was just read from the store. True if there has never been a leader, the leader handed over, or it did
  // not renew for the leader timeout. If the leader's timeout differs from ours, the longer one applies.
  bool MayTakeOver(const LeaderRecord& record, TimePoint now);
  Duration TimeoutOf(const LeaderRecord& record) const;

 private:
  const Duration leader_timeout_;
  std::optional<LeaderRecord> seen_;
  TimePoint unchanged_since_{};
};

// A leader's own view. The lease counts from when the accepted request was *sent*, so it expires before another
// coordinator may take over.
class LeaderLease {
 public:
  // `sent_at`: when Leadership::Take was called.
  LeaderLease(Duration leader_timeout, TimePoint sent_at) : leader_timeout_(leader_timeout), renewed_at_(sent_at) {}

  void Renewed(TimePoint sent_at) { renewed_at_ = sent_at; }
  bool IsValid(TimePoint now) const { return now < expires_at(); }
  TimePoint renewed_at() const { return renewed_at_; }
  TimePoint expires_at() const;
  TimePoint renew_at() const;

 private:
  Duration leader_timeout_;
  TimePoint renewed_at_;
};

}  // namespace dicom_sender
