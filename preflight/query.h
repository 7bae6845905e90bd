// Asks a destination which presentation contexts it accepts, over the associations that the worker would request,
// and releases them: nothing is sent.
#pragma once

#include <cstdint>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "dicom/network/verification.h"
#include "preflight/verdict.h"

namespace dicom_sender {

struct DestinationAnswers {
  std::vector<std::vector<AssociationAnswer>> by_kind;  // of each kind, as Judge takes them
  std::uint64_t associations = 0;                       // requested, without those for a C-ECHO
};

struct QueryFailure {
  bool cancelled = false;
  std::string reason;  // one sentence, with no host in it
};

// `request`: everything but the contexts. No window is proposed: it has no influence on the contexts, and some
// destinations reject it. If an association gets no answer, a C-ECHO on another one tells whether the destination
// answers at all. If it does, the rest is asked, as the worker sends the other studies; the error is for all others.
tl::expected<DestinationAnswers, QueryFailure> AskDestination(const std::vector<ContextNeeds>& kinds,
                                                              AssociationRequest request, const Associate& associate);

}  // namespace dicom_sender
