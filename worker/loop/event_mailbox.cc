#include "worker/loop/event_mailbox.h"

#include <utility>

#include "worker/agent/agent.h"

namespace dicom_sender {

static_assert(kReportAtOnce < StudyLink::kBacklogMax, "otherwise a sender would wait for a loop that waits for it");

void EventMailbox::Post(SendingEvent event, TimePoint now) {
  const std::lock_guard lock(mutex_);
  events_.push_back(std::move(event));
  if (MayWait(events_.back(), now)) return;
  raised_at_ = now;
  wake_.Raise();
}

bool EventMailbox::MayWait(const SendingEvent& event, TimePoint now) const {
  if (std::holds_alternative<AssociationCounted>(event.what)) return true;  // the next outcome follows soon
  return std::holds_alternative<wire::Outcome>(event.what) && events_.size() % kReportAtOnce != 0 &&
         now < raised_at_ + kReportEvery;
}

std::vector<SendingEvent> EventMailbox::Take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(events_, {});
}

}  // namespace dicom_sender
