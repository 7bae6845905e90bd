// Logs the outcome of each instance.
#pragma once

#include "cli/render.h"
#include "worker/sending/study_sender.h"

namespace dicom_sender {

// Thread-safe.
class OutcomeLog : public SendingObserver {
 public:
  // `verbose` also logs successes.
  explicit OutcomeLog(bool verbose) : verbose_(verbose) {}
  void OnOutcome(unsigned thread, const SentInstance& instance, const wire::Outcome& outcome) override;

 protected:
  const bool verbose_;
};

// Shows the result of one attempt. The coordinator decides whether there will be another one.
InstanceView ViewOf(unsigned thread, const std::string& path, const wire::Outcome& outcome);

}  // namespace dicom_sender
