// What a C-STORE response's status means for the instance. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace dicom_sender {

enum class StatusVerdict {
  kStored,
  kStoredWithWarning,
  kRetry,        // may succeed later
  kRetrySlower,  // the same, and the destination has too much to do
  kFailed,       // this instance, for good
  kRefused,      // not the instance: we are not welcome
};

// PS3.7 annex C and PS3.4 table B.2-1. Any value may come from outside; what no table knows is a failure.
StatusVerdict JudgeStoreStatus(std::uint16_t status);

// "A700 (out of resources)": the code in hexadecimal and its meaning.
std::string DescribeStatus(std::uint16_t status);

struct StatusMeaning {
  std::uint16_t first, last;
  const char* words;
};
// What the statuses mean: of the rows that a status lies in, the first. The last one has every status.
std::span<const StatusMeaning> StatusMeanings();

// The kind of failure, for counting: one of a few words such as "out_of_resources".
const char* StatusCategory(std::uint16_t status);

}  // namespace dicom_sender
