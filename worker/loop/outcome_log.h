// Tells the log what became of each instance.
#pragma once

#include "cli/render.h"
#include "worker/sending/study_sender.h"

namespace dicom_sender {

// Thread-safe.
class OutcomeLog : public SendingObserver {
 public:
  // `verbose`: successes, too.
  explicit OutcomeLog(bool verbose) : verbose_(verbose) {}
  void OnOutcome(unsigned thread, const SentInstance& instance, const wire::Outcome& outcome) override;

 protected:
  const bool verbose_;
};

// As far as one attempt tells; whether there is another one is the coordinator's to decide.
InstanceView ViewOf(unsigned thread, const std::string& path, const wire::Outcome& outcome);

}  // namespace dicom_sender
