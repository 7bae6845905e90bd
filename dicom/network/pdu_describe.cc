#include <fmt/format.h>

#include <algorithm>

#include "dicom/network/pdu.h"

namespace dicom_sender {
namespace {

std::string_view RejectReason(const AssociateReject& reject) {
  switch (reject.source << 8 | reject.reason) {
    case 0x0101:
    case 0x0201:
      return "no reason given";
    case 0x0102:
      return "application context name not supported";
    case 0x0103:
      return "calling AE title not recognized";
    case 0x0107:
      return "called AE title not recognized";
    case 0x0202:
      return "protocol version not supported";
    case 0x0301:
      return "temporary congestion";
    case 0x0302:
      return "local limit exceeded";
    default:
      return {};
  }
}

std::string_view RejectSource(std::uint8_t source) {
  switch (source) {
    case 1:
      return "the service user";
    case 2:
      return "the service provider (ACSE)";
    case 3:
      return "the service provider (presentation)";
    default:
      return "an unknown source";
  }
}

std::string_view AbortReason(std::uint8_t reason) {
  switch (reason) {
    case 0:
      return "reason not specified";
    case 1:
      return "unrecognized PDU";
    case 2:
      return "unexpected PDU";
    case 4:
      return "unrecognized PDU parameter";
    case 5:
      return "unexpected PDU parameter";
    case 6:
      return "invalid PDU parameter value";
    default:
      return {};
  }
}

}  // namespace

std::string DescribeReject(const AssociateReject& reject) {
  std::string reason(RejectReason(reject));
  if (reason.empty()) reason = fmt::format("unknown reason {}", reject.reason);
  std::string result = fmt::format("unknown result {}", reject.result);
  if (reject.result == kRejectResultPermanent) result = "permanent";
  if (reject.result == kRejectResultTransient) result = "transient";
  return fmt::format("rejected: {} ({}, by {})", reason, result, RejectSource(reject.source));
}

std::string DescribeAbort(const AbortPdu& abort) {
  // The reason is not significant when the user aborted (PS3.8 table 9-26).
  if (abort.source == 0) return "no reason (by the service user)";
  std::string reason(AbortReason(abort.reason));
  if (reason.empty()) reason = fmt::format("unknown reason {}", abort.reason);
  if (abort.source == 2) return reason + " (by the service provider)";
  return fmt::format("{} (by unknown source {})", reason, abort.source);
}

std::string_view DescribeContextResult(ContextResult result) {
  switch (result) {
    case ContextResult::kAccepted:
      return "accepted";
    case ContextResult::kUserRejected:
      return "rejected by the user";
    case ContextResult::kNoReason:
      return "rejected without a reason";
    case ContextResult::kAbstractSyntaxNotSupported:
      return "abstract syntax not supported";
    case ContextResult::kTransferSyntaxesNotSupported:
      return "transfer syntaxes not supported";
  }
  return "unknown result";
}

std::string PrintableText(std::string_view text) {
  std::string printable(text);
  std::replace_if(
      printable.begin(), printable.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return printable;
}

}  // namespace dicom_sender
