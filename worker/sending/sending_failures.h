// Names the failures of associations in metrics and reports, and says what they mean to the coordinator.
#pragma once

#include "dicom/network/association.h"
#include "worker.pb.h"

namespace dicom_sender {

const char* FailureName(AssociationFailureKind kind);
const char* FailureName(StoreFailureKind kind);

// The reason to give back a study whose association was not accepted.
wire::GiveBack::Reason ReasonOf(const AssociationFailure& failure);

// The peer aborted the association or the connection broke, as with a peer that cannot handle the proposal.
template <typename Kind>
bool IsAbortOrLoss(Kind kind) {
  return kind == Kind::kAborted || kind == Kind::kConnectionLost;
}

}  // namespace dicom_sender
