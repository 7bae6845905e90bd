// Rules for files with the same SOP Instance UID: the result of comparing a copy, and the result of sending a copy in
// place of a failed file. The stores fetch the arguments of these functions and write their results.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

// The file that another file is a copy of.
struct Original {
  StudyKey study = 0;
  std::uint32_t index = 0;
  std::string path;  // root and relative path joined
};

std::string NotComparedReason(std::string_view original_path);

struct ComparedCopy {
  InstanceState state = InstanceState::kSkipped;
  std::string reason;
  Counts delta;  // for its study and session
};
// `bytes`: the size of the copy.
ComparedCopy JudgeComparison(const Comparison& comparison, std::string_view original_path, std::uint64_t bytes);

// A copy that has not been sent, and what it takes to send it in place of a failed file.
struct WaitingCopy {
  PromotedCopy copy;
  std::int64_t index = 0;
  std::int64_t pair = 0;  // the ID of its SOP class and transfer syntax
  std::string uid;
  InstanceState state = InstanceState::kSkipped;
  bool differs = false;  // from the first file, or it was not compared
};

// A failed instance, and the first file with its SOP Instance UID: the instance itself, or the file that it replaced.
struct FailedOriginal {
  std::uint32_t index = 0;
  StudyKey first_study = 0;
  std::uint32_t first_index = 0;
  bool differs = false;  // from the first file
};
struct Failure {
  std::string reason;
  std::uint64_t bytes = 0;  // the size of the instance
  bool differs = false;     // from its copy, or from the first file
};
// The new state of a failed instance whose copy is sent in its place. The copy becomes pending.
struct ReplacedOriginal {
  InstanceState state = InstanceState::kSkipped;
  std::string reason;
  Counts delta;       // for its study and session
  Counts copy_delta;  // for the copy's study and session
};
ReplacedOriginal JudgePromotion(const Failure& failure, const PromotedCopy& copy, InstanceState copy_state);

}  // namespace dicom_sender
