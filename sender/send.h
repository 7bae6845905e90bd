// The main job: index, send, report.
#pragma once

#include "common/stop_signal.h"
#include "sender/cli/console.h"
#include "sender/cli/options.h"

namespace dicom_sender {

// Returns the exit status.
int RunSend(const SenderOptions& options, StopSignals& signals, Console& console);

}  // namespace dicom_sender
