// What the failures of associations are called in metrics and reports, and what they mean to the coordinator.
#pragma once

#include "dicom/network/association.h"
#include "worker.pb.h"

namespace dicom_sender {

const char* FailureName(AssociationFailureKind kind);
const char* FailureName(StoreFailureKind kind);

// Why a study is given back whose association was not accepted.
wire::GiveBack::Reason ReasonOf(const AssociationFailure& failure);

// The peer ended the association, or the connection broke: what a peer does that cannot bear what we proposed.
template <typename Kind>
bool IsAbortOrLoss(Kind kind) {
  return kind == Kind::kAborted || kind == Kind::kConnectionLost;
}

}  // namespace dicom_sender
