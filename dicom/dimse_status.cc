#include "dicom/dimse_status.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace dicom_sender {
namespace {

bool IsBetween(std::uint16_t status, std::uint16_t first, std::uint16_t last) {
  return first <= status && status <= last;
}

// The first match counts, so single values come before the ranges around them. PS3.7 annex C, PS3.4 table B.2-1.
constexpr std::array<StatusMeaning, 29> kMeanings = {{
    {0x0000, 0x0000, "success"},
    {0x0001, 0x0001, "requested optional attributes are not supported"},
    {0x0105, 0x0105, "no such attribute"},
    {0x0106, 0x0106, "invalid attribute value"},
    {0x0107, 0x0107, "attribute list error"},
    {0x0110, 0x0110, "processing failure"},
    {0x0111, 0x0111, "duplicate SOP instance"},
    {0x0112, 0x0112, "no such SOP instance"},
    {0x0115, 0x0115, "invalid argument value"},
    {0x0116, 0x0116, "attribute value out of range"},
    {0x0117, 0x0117, "invalid SOP instance"},
    {0x0118, 0x0118, "no such SOP class"},
    {0x0119, 0x0119, "class-instance conflict"},
    {0x0122, 0x0122, "SOP class not supported"},
    {0x0124, 0x0124, "not authorized"},
    {0x0210, 0x0210, "duplicate invocation"},
    {0x0211, 0x0211, "unrecognized operation"},
    {0x0212, 0x0212, "mistyped argument"},
    {0x0213, 0x0213, "resource limitation"},
    {0xB000, 0xB000, "coercion of data elements"},
    {0xB006, 0xB006, "elements discarded"},
    {0xB007, 0xB007, "data set does not match SOP class"},
    {0xFE00, 0xFE00, "cancelled"},
    {0xFF00, 0xFF01, "pending, which is no answer to a C-STORE"},
    {0xA700, 0xA7FF, "out of resources"},
    {0xA900, 0xA9FF, "data set does not match SOP class"},
    {0xB000, 0xBFFF, "warning"},
    {0xC000, 0xCFFF, "cannot understand"},
    {0x0000, 0xFFFF, "unknown status"},
}};

const char* Meaning(std::uint16_t status) {
  return std::find_if(kMeanings.begin(), kMeanings.end(),
                      [status](const StatusMeaning& row) { return IsBetween(status, row.first, row.last); })
      ->words;
}

}  // namespace

StatusVerdict JudgeStoreStatus(std::uint16_t status) {
  if (status == 0x0000) return StatusVerdict::kStored;
  if (IsBetween(status, 0xB000, 0xBFFF)) return StatusVerdict::kStoredWithWarning;
  if (IsBetween(status, 0xA700, 0xA7FF)) return StatusVerdict::kRetrySlower;
  switch (status) {
    case 0x0001:
    case 0x0107:
    case 0x0116:
      return StatusVerdict::kStoredWithWarning;
    case 0x0110:
    case 0x0213:
      return StatusVerdict::kRetry;
    case 0x0124:
      return StatusVerdict::kRefused;
    default:
      return StatusVerdict::kFailed;
  }
}

std::string DescribeStatus(std::uint16_t status) { return fmt::format("{:04X} ({})", status, Meaning(status)); }

std::span<const StatusMeaning> StatusMeanings() { return kMeanings; }

const char* StatusCategory(std::uint16_t status) {
  if (IsBetween(status, 0xA700, 0xA7FF) || status == 0x0213) return "out_of_resources";
  if (IsBetween(status, 0xA900, 0xA9FF)) return "dataset_mismatch";
  if (IsBetween(status, 0xC000, 0xCFFF)) return "cannot_understand";
  if (status == 0x0110) return "processing_failure";
  if (status == 0x0118 || status == 0x0122) return "sop_class_not_supported";
  return "other_status";
}

}  // namespace dicom_sender
