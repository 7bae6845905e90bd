#include "worker/sending/sending_failures.h"

namespace dicom_sender {

const char* FailureName(AssociationFailureKind kind) {
  switch (kind) {
    case AssociationFailureKind::kResolve:
      return "resolve";
    case AssociationFailureKind::kRefused:
      return "refused";
    case AssociationFailureKind::kUnreachable:
      return "unreachable";
    case AssociationFailureKind::kTimedOut:
      return "timeout";
    case AssociationFailureKind::kRejectedPermanent:
      return "rejected_permanent";
    case AssociationFailureKind::kRejectedTransient:
      return "rejected_transient";
    case AssociationFailureKind::kAborted:
      return "aborted";
    case AssociationFailureKind::kConnectionLost:
      return "connection_lost";
    case AssociationFailureKind::kProtocolError:
      return "protocol_error";
    case AssociationFailureKind::kInvalidRequest:
    case AssociationFailureKind::kCancelled:
      break;
  }
  return "other";
}

const char* FailureName(StoreFailureKind kind) {
  switch (kind) {
    case StoreFailureKind::kAborted:
      return "aborted";
    case StoreFailureKind::kConnectionLost:
      return "connection_lost";
    case StoreFailureKind::kTimedOut:
      return "timeout";
    case StoreFailureKind::kProtocolError:
      return "protocol_error";
    default:
      return "other";
  }
}

wire::GiveBack::Reason ReasonOf(const AssociationFailure& failure) {
  if (failure.kind == AssociationFailureKind::kRejectedTransient) return wire::GiveBack::DESTINATION_BUSY;
  if (failure.kind != AssociationFailureKind::kRejectedPermanent) return wire::GiveBack::DESTINATION_TRANSIENT;
  return failure.explained ? wire::GiveBack::DESTINATION_REFUSED : wire::GiveBack::DESTINATION_REJECTED;
}

}  // namespace dicom_sender
