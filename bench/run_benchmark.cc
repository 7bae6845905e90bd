#include "bench/run_benchmark.h"

#include <fmt/format.h>

#include <exception>

namespace dicom_sender {

int RunBenchmark(const char* program, const std::function<int()>& run) {
  try {
    return run();
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: FAILED: {}\n", program, error.what());
    return 1;
  }
}

}  // namespace dicom_sender
