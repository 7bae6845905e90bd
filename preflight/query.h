// Asks a destination which presentation contexts it accepts. Requests the associations that the worker would request
// and releases them without sending anything.
#pragma once

#include <cstdint>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "dicom/network/verification.h"
#include "preflight/verdict.h"

namespace dicom_sender {

struct DestinationAnswers {
  std::vector<std::vector<AssociationAnswer>> by_kind;  // for each kind of study, as Judge expects them
  std::uint64_t associations = 0;                       // requested, except those for a C-ECHO
};

struct QueryFailure {
  bool cancelled = false;
  std::string reason;  // one sentence that does not name the host
};

// `request`: everything except the contexts. No asynchronous operations window is proposed, because it does not
// affect the contexts and some destinations reject it. If an association request gets no answer, a C-ECHO over
// another association shows whether the destination answers at all. If so, the remaining associations are queried,
// because the worker would send the other studies, too. Otherwise, the query fails.
tl::expected<DestinationAnswers, QueryFailure> AskDestination(const std::vector<ContextNeeds>& kinds,
                                                              AssociationRequest request, const Associate& associate);

}  // namespace dicom_sender
