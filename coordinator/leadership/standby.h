// The phase in which this coordinator is a standby: it tells every client which coordinator is the leader, until it
// is elected itself.
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <tl/expected.hpp>

#include "coordinator/leadership/coordinator_context.h"
#include "coordinator/leadership/leadership_renewer.h"
#include "coordinator/leadership/shared_ledger.h"

namespace dicom_sender {

// `first`: this is the first phase of the process, so an endpoint or a ledger that cannot be used is an error instead
// of being retried. Returns the leadership that it acquired, or nullptr if a stop was requested first; everything
// else of the phase is gone by then. The error is one sentence.
tl::expected<std::unique_ptr<LeadershipRenewer>, std::string> RunStandby(const CoordinatorContext& context,
                                                                         const SharedLedger& ledger,
                                                                         const std::string& name, bool first,
                                                                         std::stop_token stop);

}  // namespace dicom_sender
