#include "dicom/dimse_status.h"

#include <fmt/format.h>

namespace dicom_sender {
namespace {

bool IsBetween(std::uint16_t status, std::uint16_t first, std::uint16_t last) {
  return first <= status && status <= last;
}

const char* Meaning(std::uint16_t status) {
  switch (status) {
    case 0x0000:
      return "success";
    case 0x0001:
      return "requested optional attributes are not supported";  // PS3.7 C.3
    case 0x0105:
      return "no such attribute";
    case 0x0106:
      return "invalid attribute value";
    case 0x0107:
      return "attribute list error";
    case 0x0110:
      return "processing failure";
    case 0x0111:
      return "duplicate SOP instance";
    case 0x0112:
      return "no such SOP instance";
    case 0x0115:
      return "invalid argument value";
    case 0x0116:
      return "attribute value out of range";
    case 0x0117:
      return "invalid SOP instance";
    case 0x0118:
      return "no such SOP class";
    case 0x0119:
      return "class-instance conflict";
    case 0x0122:
      return "SOP class not supported";
    case 0x0124:
      return "not authorized";
    case 0x0210:
      return "duplicate invocation";
    case 0x0211:
      return "unrecognized operation";
    case 0x0212:
      return "mistyped argument";
    case 0x0213:
      return "resource limitation";
    case 0xB000:
      return "coercion of data elements";
    case 0xB006:
      return "elements discarded";
    case 0xB007:
      return "data set does not match SOP class";
    case 0xFE00:
      return "cancelled";
    case 0xFF00:
    case 0xFF01:
      return "pending, which is no answer to a C-STORE";
    default:
      break;
  }
  if (IsBetween(status, 0xA700, 0xA7FF)) return "out of resources";
  if (IsBetween(status, 0xA900, 0xA9FF)) return "data set does not match SOP class";
  if (IsBetween(status, 0xB000, 0xBFFF)) return "warning";
  if (IsBetween(status, 0xC000, 0xCFFF)) return "cannot understand";
  return "unknown status";
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

const char* StatusCategory(std::uint16_t status) {
  if (IsBetween(status, 0xA700, 0xA7FF) || status == 0x0213) return "out_of_resources";
  if (IsBetween(status, 0xA900, 0xA9FF)) return "dataset_mismatch";
  if (IsBetween(status, 0xC000, 0xCFFF)) return "cannot_understand";
  if (status == 0x0110) return "processing_failure";
  if (status == 0x0118 || status == 0x0122) return "sop_class_not_supported";
  return "other_status";
}

}  // namespace dicom_sender
