// The preflight: finds out what would be sent, how, and what would not arrive.
#pragma once

#include "cli/console.h"
#include "common/stop_signal.h"
#include "programs/sender/options.h"

namespace dicom_sender {

// Scans, queries the destination if one is given, and prints the plan; sends nothing. Leaves a suspended session with
// a complete scan for the run that sends. Returns the exit status.
int RunDry(const SenderOptions& options, StopSignals& signals, Console& console);

}  // namespace dicom_sender
