// Runs a program and measures its time.
#pragma once

#include <string>
#include <vector>

namespace dicom_sender {

struct MeasuredRun {
  double wall_seconds = 0;
  double cpu_seconds = 0;  // user and system
  double peak_rss_mebibytes = 0;
};

// Throws std::runtime_error with `name` and the program's output if its exit status is not 0.
MeasuredRun RunMeasured(const std::string& name, const std::vector<std::string>& command,
                        const std::vector<std::string>& environment = {});

}  // namespace dicom_sender
