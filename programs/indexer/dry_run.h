// dicom-indexer --dry-run: runs the preflight from this machine, without a coordinator.
#pragma once

#include "cli/console.h"
#include "common/stop_signal.h"
#include "programs/indexer/options.h"

namespace dicom_sender {

// Prints the plan to standard output and everything else to `console`. Discards the scan. Returns the exit status.
int RunIndexerDry(const IndexerProgramOptions& options, StopSignals& signals, Console& console);

}  // namespace dicom_sender
