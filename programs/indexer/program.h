// Runs dicom-indexer: one scan that feeds a coordinator on this or another machine.
#pragma once

#include <string>

#include "cli/console.h"
#include "client.pb.h"
#include "common/stop_signal.h"
#include "programs/indexer/options.h"

namespace dicom_sender {

// The message for inputs that have no DICOM instance.
std::string NothingFoundIn(const wire::OpenSession& settings);

// Returns the exit status.
int RunIndexerProgram(const IndexerProgramOptions& options, StopSignals& signals, Console& console);

}  // namespace dicom_sender
