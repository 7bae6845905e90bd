// `dicom-sender sessions`: lists the sessions in an output folder.
#pragma once

#include "cli/console.h"
#include "programs/sender/options.h"

namespace dicom_sender {

// Returns the exit status.
int RunSessions(const SenderOptions& options, Console& console);

}  // namespace dicom_sender
