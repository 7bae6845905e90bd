// The main command: scans, sends, and reports.
#pragma once

#include "cli/console.h"
#include "common/stop_signal.h"
#include "programs/sender/options.h"

namespace dicom_sender {

// Returns the exit status.
int RunSend(const SenderOptions& options, StopSignals& signals, Console& console);

}  // namespace dicom_sender
