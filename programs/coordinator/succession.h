// A coordinator among several on one ledger: it stands by, leads, and stands by again, until a stop is requested.
//
// Everything but what the process shows of itself is new in each phase, as after a restart: what was queued, leased
// or known before cannot reach a later leadership.
#pragma once

#include <stop_token>
#include <string>
#include <tl/expected.hpp>

#include "programs/coordinator/ledger_store.h"
#include "programs/coordinator/site.h"

namespace dicom_sender {

// Hands over when a stop is requested. A ledger that fails ends the leadership, not the process. The error is one
// sentence: what could not be opened at the start, or bound.
tl::expected<void, std::string> RunSuccession(const Site& site, const LedgerStore& store, std::stop_token stop);

}  // namespace dicom_sender
