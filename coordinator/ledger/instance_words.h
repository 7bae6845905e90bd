// The words for the state of an instance, as SQL views and metrics use them.
#pragma once

#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

// A conflict counts as skipped.
constexpr const char* InstanceStateWord(InstanceState state) {
  switch (state) {
    case InstanceState::kPending:
      return "pending";
    case InstanceState::kDelayed:
      return "delayed";
    case InstanceState::kStored:
      return "stored";
    case InstanceState::kStoredWithWarning:
      return "stored_with_warning";
    case InstanceState::kFailed:
      return "failed";
    case InstanceState::kSkipped:
    case InstanceState::kConflict:
      return "skipped";
  }
  return "unknown";
}

}  // namespace dicom_sender
