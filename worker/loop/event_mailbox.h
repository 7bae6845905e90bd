// Takes what the sending threads have to say to the loop, and wakes the loop for it.
#pragma once

#include <chrono>
#include <mutex>
#include <vector>

#include "common/time.h"
#include "common/wake_event.h"
#include "worker/loop/study_link.h"

namespace dicom_sender {

// Outcomes that follow each other fast wake the loop together, or each would cost a round trip to the coordinator and
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
