// Builds the association request of a session. Pure.
#pragma once

#include <vector>

#include "dicom/network/association.h"
#include "work.pb.h"

namespace dicom_sender {

AssociationRequest RequestFor(const wire::Destination& destination, const wire::SendOptions& options,
                              std::vector<ProposedContext> contexts);

}  // namespace dicom_sender
