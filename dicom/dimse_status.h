// Decides what the status of a C-STORE response means for the instance. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace dicom_sender {

enum class StatusVerdict {
  kStored,
  kStoredWithWarning,
  kRetry,        // a later attempt may succeed
  kRetrySlower,  // a later attempt may succeed, and the destination is overloaded
  kFailed,       // the instance failed permanently
  kRefused,      // the destination refuses this sender, so the instance is not to blame
};

// PS3.7 annex C and PS3.4 table B.2-1. Accepts any value; a status that no table lists is a failure.
StatusVerdict JudgeStoreStatus(std::uint16_t status);

// "A700 (out of resources)": the code in hexadecimal and its meaning.
std::string DescribeStatus(std::uint16_t status);

struct StatusMeaning {
  std::uint16_t first, last;
  const char* words;
};
// The meanings of all statuses. The first row that contains a status counts; the last row contains every status.
std::span<const StatusMeaning> StatusMeanings();

// The category of a failure, for metrics: one of a few words such as "out_of_resources".
const char* StatusCategory(std::uint16_t status);

}  // namespace dicom_sender
