// The plan: what would be sent, and how, if it were.
#pragma once

#include "cli/console.h"
#include "common/stop_signal.h"
#include "sender/options.h"

namespace dicom_sender {

// Indexes, prints the plan, sends nothing and opens no connection; only the log stays. Returns the exit status.
int RunDry(const SenderOptions& options, StopSignals& signals, Console& console);

}  // namespace dicom_sender
