#include "cli/service_options.h"

namespace dicom_sender {

OptionGroup ServiceGroup(ServiceOptions& options) {
  return {"Program",
          {OwnVariable({0, "log-file", "FILE", "append the log to this file (default: standard error)",
                        SetText(options.log_file)}),
           {0, "log-format", "FORMAT", "text or json (default: text)", SetLogFormat(options.log_format)},
           {'v', "verbose", nullptr, "log more", SetSwitch(options.verbose)},
           OwnVariable({0, "metrics", "HOST:PORT", "serve /metrics for Prometheus, /healthz, and /readyz",
                        SetAddress(options.metrics)})}};
}  // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks): the analyzer loses track of the functions in the table

}  // namespace dicom_sender
