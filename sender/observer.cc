#include "sender/observer.h"

namespace dicom_sender {

void OutcomeObserver::OnOutcome(unsigned thread, const std::string& path, const wire::Outcome& outcome) {
  OutcomeLog::OnOutcome(thread, path, outcome);
  if (verbose_) console_.Print(RenderInstance(ViewOf(thread, path, outcome), console_.style()));
}

}  // namespace dicom_sender
