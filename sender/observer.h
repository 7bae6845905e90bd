// Tells the log of every instance, and with --verbose the console too.
#pragma once

#include "cli/console.h"
#include "worker/sending/study_sender.h"

namespace dicom_sender {

class OutcomeObserver : public SendingObserver {
 public:
  OutcomeObserver(Console& console, bool verbose) : console_(console), verbose_(verbose) {}
  void OnOutcome(unsigned thread, const std::string& path, const wire::Outcome& outcome) override;

 private:
  Console& console_;
  const bool verbose_;
};

}  // namespace dicom_sender
