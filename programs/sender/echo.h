// Checks whether the destination answers a C-ECHO (PS3.4 annex A).
#pragma once

#include <stop_token>

#include "cli/console.h"
#include "programs/sender/options.h"

namespace dicom_sender {

// Returns the exit status. A requested stop ends it.
int RunEcho(const SenderOptions& options, Console& console, std::stop_token stop);

}  // namespace dicom_sender
