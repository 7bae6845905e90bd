// One of several coordinators on a shared ledger. It is a standby until it is elected leader, and becomes a standby
// again when it loses the leadership, until a stop is requested.
//
// Each phase starts from scratch, as after a restart of the process, so that nothing that was queued, leased, or
// cached in an earlier phase reaches a later leadership. Only the status endpoint stays.
#pragma once

#include <stop_token>
#include <string>
#include <tl/expected.hpp>

#include "coordinator/leadership/coordinator_context.h"
#include "coordinator/leadership/shared_ledger.h"

namespace dicom_sender {

// Hands over the leadership when a stop is requested. A ledger that fails ends the leadership, not the process. The
// error is one sentence: what could not be opened or bound at the start.
tl::expected<void, std::string> RunElectedCoordinator(const CoordinatorContext& context, const SharedLedger& ledger,
                                                      std::stop_token stop);

}  // namespace dicom_sender
