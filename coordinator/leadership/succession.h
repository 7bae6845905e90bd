// When a stand-by may take over, and how long a leader may believe that it leads.
//
// Only durations on one's own monotonic clock count; no clock is compared with another one. What is decided here
// makes fail-over quick and a former leader silent; what makes it harmless is the epoch in the ledger, whatever the
// clocks do (coordinator/ledger/leadership.h).
//
// The limit: that clock stands still while its host, or the virtual machine that it is, is suspended. A leader that
// wakes up believes for the rest of its tenure, at most seven eighths of the time-out, that it leads, though another
// one may have led for hours. Until its next renewal or write tells it otherwise, it may say what was true before;
// it writes nothing: all writes are fenced.
#pragma once

#include "common/time.h"
#include "coordinator/ledger/leadership.h"

namespace dicom_sender {

// A stand-by's view of the leader.
class LeaderWatch {
 public:
  explicit LeaderWatch(Duration leader_timeout) : leader_timeout_(leader_timeout) {}

  // `record` was read from the store just now. True if its leader has handed over, nobody ever led, or it was not
  // renewed for the leader time-out: its own or the leader's, whichever is longer.
  bool MayTake(const LeaderRecord& record, TimePoint now);
  Duration TimeoutOf(const LeaderRecord& record) const;

 private:
  const Duration leader_timeout_;
  std::optional<LeaderRecord> seen_;
  TimePoint seen_at_{};  // when the record was first seen as it is
};

// A leader's own view. It counts from when it *sent* what the store then accepted, so its tenure ends before anybody
// else may take over.
class Tenure {
 public:
  // `sent_at`: when Leadership::Take was called.
  Tenure(Duration leader_timeout, TimePoint sent_at) : leader_timeout_(leader_timeout), renewed_at_(sent_at) {}

  void Renewed(TimePoint sent_at) { renewed_at_ = sent_at; }
  bool Leads(TimePoint now) const { return now < ends_at(); }
  TimePoint renewed_at() const { return renewed_at_; }
  TimePoint ends_at() const;
  TimePoint renew_at() const;

 private:
  Duration leader_timeout_;
  TimePoint renewed_at_;
};

}  // namespace dicom_sender
