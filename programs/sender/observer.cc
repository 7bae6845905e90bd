#include "programs/sender/observer.h"

namespace dicom_sender {

void OutcomeObserver::OnOutcome(unsigned thread, const SentInstance& instance, const wire::Outcome& outcome) {
  OutcomeLog::OnOutcome(thread, instance, outcome);
  if (verbose_) console_.Print(RenderInstance(ViewOf(thread, instance.path, outcome), console_.style()));
}

}  // namespace dicom_sender
