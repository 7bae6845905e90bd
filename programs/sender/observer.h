// Logs every instance. With --verbose, it also shows them on the console.
#pragma once

#include "cli/console.h"
#include "worker/loop/outcome_log.h"

namespace dicom_sender {

class OutcomeObserver : public OutcomeLog {
 public:
  OutcomeObserver(Console& console, bool verbose) : OutcomeLog(verbose), console_(console) {}
  void OnOutcome(unsigned thread, const SentInstance& instance, const wire::Outcome& outcome) override;

 private:
  Console& console_;
};

}  // namespace dicom_sender
