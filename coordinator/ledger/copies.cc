#include "coordinator/ledger/copies.h"

#include <fmt/format.h>

#include "coordinator/ledger/counts.h"

namespace dicom_sender {

std::string NotComparedReason(std::string_view original_path) {
  return fmt::format("same SOP Instance UID as {}, not compared", original_path);
}

ComparedCopy JudgeComparison(const Comparison& comparison, std::string_view original_path, std::uint64_t bytes) {
  ComparedCopy copy;
  if (comparison.difference.empty()) {
    copy.reason = fmt::format("duplicate of {}", original_path);
  } else {
    copy.state = InstanceState::kConflict;
    copy.reason = fmt::format("conflict with {}, which has the same SOP Instance UID: {}", original_path,
                              comparison.difference);
  }
  Contribute(copy.delta, InstanceState::kSkipped, bytes, 0, true);
  Contribute(copy.delta, copy.state, bytes, 0, false);
  return copy;
}

ReplacedOriginal JudgePromotion(const Failure& failure, const PromotedCopy& copy, InstanceState copy_state) {
  ReplacedOriginal original;
  if (failure.differs) original.state = InstanceState::kConflict;
  original.reason =
      fmt::format("{}, which has the same SOP Instance UID, is sent instead, because this one failed: {}", copy.path,
                  failure.reason);
  Contribute(original.delta, InstanceState::kFailed, failure.bytes, 0, true);
  Contribute(original.delta, original.state, failure.bytes, 0, false);
  Contribute(original.copy_delta, copy_state, copy.feed.pending_bytes, 0, true);
  return original;
}

}  // namespace dicom_sender
