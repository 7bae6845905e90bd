// Wraps every main(): turns an exception into one line and an exit status.
#pragma once

#include <functional>

#include "cli/console.h"

namespace dicom_sender {

// Returns what `run` returns. If `run` throws, writes the exception to the log and to standard error, and returns
// kExitCannotWrite for a StoreError and kExitInternal for others. Closes the log in all cases.
int GuardedMain(const char* program, const std::function<int(Console&)>& run);

}  // namespace dicom_sender
