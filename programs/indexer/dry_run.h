// dicom-indexer --dry-run: the preflight from this machine, without a coordinator.
#pragma once

#include "cli/console.h"
#include "common/stop_signal.h"
#include "programs/indexer/options.h"

namespace dicom_sender {

// The plan goes to standard output, the rest to `console`. The scan is not kept. Returns the exit status.
int RunIndexerDry(const IndexerProgramOptions& options, StopSignals& signals, Console& console);

}  // namespace dicom_sender
