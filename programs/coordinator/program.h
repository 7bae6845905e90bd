// Runs dicom-coordinator: the ledger, the service, and its loop in one process.
#pragma once

#include <stop_token>
#include <string>
#include <tl/expected.hpp>

#include "programs/coordinator/options.h"

namespace dicom_sender {

// Serves until a stop is requested. The error is one sentence that says what could not be opened, read, or bound.
// Throws LedgerError if a ledger that is not shared fails later.
tl::expected<void, std::string> RunCoordinator(const CoordinatorOptions& options, std::stop_token stop);

}  // namespace dicom_sender
