// What programs that run for long have in common: where their log goes, and what they say of themselves over HTTP.
#pragma once

#include <optional>
#include <string>

#include "cli/program_options.h"
#include "common/log.h"

namespace dicom_sender {

struct ServiceOptions {
  std::optional<std::string> log_file;  // none: standard error
  LogFormat log_format = LogFormat::kText;
  bool verbose = false;
  std::optional<std::string> metrics;  // HOST:PORT
};

OptionGroup ServiceGroup(ServiceOptions& options);

}  // namespace dicom_sender
