// Files with the same SOP Instance UID: what becomes of a copy that was compared, and of a file in whose place a copy
// is sent. The stores fetch what these functions take, and write what they return.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

// The file whose copy another file is.
struct Original {
  StudyKey study = 0;
  std::uint32_t index = 0;
  std::string path;  // root and relative path joined
};

std::string NotComparedReason(std::string_view original_path);

struct ComparedCopy {
  InstanceState state = InstanceState::kSkipped;
  std::string reason;
  Counts delta;  // of its study and session
};
// `bytes`: the size of the copy.
ComparedCopy JudgeComparison(const Comparison& comparison, std::string_view original_path, std::uint64_t bytes);

// An instance that has failed, and the first file with its SOP Instance UID: the instance itself, or the file in
// whose place the instance was sent.
struct FailedOriginal {
  std::uint32_t index = 0;
  StudyKey first_study = 0;
  std::uint32_t first_index = 0;
  bool differs = false;  // from the first one
};
struct Failure {
  std::string reason;
  std::uint64_t bytes = 0;  // the size of the instance
  bool differs = false;     // from its copy, or from the first file
};
// The failed instance whose copy is sent in its place. The copy is pending from now on.
struct ReplacedOriginal {
  InstanceState state = InstanceState::kSkipped;
  std::string reason;
  Counts delta;       // of its study and session
  Counts copy_delta;  // of the copy's study and session
};
ReplacedOriginal JudgePromotion(const Failure& failure, const PromotedCopy& copy, InstanceState copy_state);

}  // namespace dicom_sender
