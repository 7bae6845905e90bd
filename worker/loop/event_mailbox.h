// Passes events from the sending threads to the loop, and wakes the loop.
#pragma once

#include <chrono>
#include <mutex>
#include <vector>

#include "common/time.h"
#include "common/wake_event.h"
#include "worker/loop/study_link.h"

namespace dicom_sender {

// Outcomes in quick succession wake the loop together, because each wake-up costs a round trip to the coordinator and
// a commit of the ledger. The loop must not wait longer than this while studies are being sent.
inline constexpr std::chrono::milliseconds kReportEvery(10);

class EventMailbox {
 public:
  explicit EventMailbox(WakeEvent& wake) : wake_(wake) {}

  void Post(SendingEvent event, TimePoint now);  // by any thread
  std::vector<SendingEvent> Take();              // by the loop; in the order of posting

 private:
  bool MayWait(const SendingEvent& event, TimePoint now) const;

  WakeEvent& wake_;
  std::mutex mutex_;
  TimePoint raised_at_;
  std::vector<SendingEvent> events_;  // bounded by StudyLink::kBacklogMax for each study
};

}  // namespace dicom_sender
