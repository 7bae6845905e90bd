// dicom-indexer: one scan that feeds a coordinator on this or another machine.
#pragma once

#include "cli/console.h"
#include "common/stop_signal.h"
#include "indexer/program/options.h"

namespace dicom_sender {

// Returns the exit status.
int RunIndexerProgram(const IndexerProgramOptions& options, StopSignals& signals, Console& console);

}  // namespace dicom_sender
