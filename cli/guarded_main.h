// The frame of every main(): what is thrown becomes one line and an exit status.
#pragma once

#include <functional>

#include "cli/console.h"

namespace dicom_sender {

// Returns what `run` returns. An exception of it goes to the log and to standard error: kExitCannotWrite for a
// StoreError, kExitInternal for others. The log is closed in all cases.
int GuardedMain(const char* program, const std::function<int(Console&)>& run);

}  // namespace dicom_sender
