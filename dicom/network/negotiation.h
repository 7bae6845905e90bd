// Negotiates an association with A-ASSOCIATE-RQ (PS3.8 7.1): what we propose, and what the destination's answer
// means.
#pragma once

#include <cstdint>
#include <tl/expected.hpp>
#include <vector>

#include "dicom/network/association.h"
#include "dicom/network/connection.h"
#include "dicom/network/remarks.h"

namespace dicom_sender {

struct Negotiated {
  std::vector<ContextAnswer> contexts;   // one for each proposed context, in the order of the request
  std::uint32_t peer_max_pdu_bytes = 0;  // as announced; 0: no limit
  std::uint32_t fragment_bytes_max = 0;  // the longest data of one PDV that we send; even
  std::uint16_t window = 1;              // C-STOREs that may be outstanding
};

// Checks the request's own limits, without the destination.
tl::expected<void, AssociationFailure> CheckAssociationRequest(const AssociationRequest& request);

// Proposes what a valid request asks for, and waits for the answer. Adds to `ignored` what it ignores in the answer.
// Closes the connection after a rejection.
tl::expected<Negotiated, AssociationFailure> Negotiate(Connection& connection, const AssociationRequest& request,
                                                       Remarks& ignored);

}  // namespace dicom_sender
