#include "coordinator/core/succession.h"

namespace dicom_sender {

bool LeaderWatch::MayTake(const LeaderRecord& record, TimePoint now) {
  if (record.leader.empty()) return true;
  if (seen_ != record) {
    seen_ = record;
    seen_at_ = now;
  }
  return now - seen_at_ >= leader_timeout_;
}

void Tenure::Renewed(TimePoint sent_at) {
  // An eighth for clocks that run at different speeds and for what is said after the last look at the clock. Of
  // renewals that fail at once several may fail before the tenure ends; one that hangs takes all of the time there
  // is, for a call is given up no sooner than after the time-out.
  ends_at_ = sent_at + leader_timeout_ * 7 / 8;
  renew_at_ = sent_at + leader_timeout_ / 4;
}

}  // namespace dicom_sender
