// The options that all long-running programs share: the log and the HTTP server for metrics and health checks.
#pragma once

#include <optional>
#include <string>

#include "cli/program_options.h"
#include "common/log.h"

namespace dicom_sender {

struct ServiceOptions {
  std::optional<std::string> log_file;  // nullopt: standard error
  LogFormat log_format = LogFormat::kText;
  bool verbose = false;
  std::optional<std::string> metrics;  // HOST:PORT
};

OptionGroup ServiceGroup(ServiceOptions& options);

}  // namespace dicom_sender
