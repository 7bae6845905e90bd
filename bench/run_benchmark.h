// What the main functions of all benchmarks have in common.
#pragma once

#include <functional>

namespace dicom_sender {

// Returns what `run` returns. If `run` throws, prints one line with the reason on standard error, and returns 1.
int RunBenchmark(const char* program, const std::function<int()>& run);

}  // namespace dicom_sender
