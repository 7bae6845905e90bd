#include "programs/sender/program_settings.h"

namespace dicom_sender {

wire::ProgramSettings ToProgramSettings(const SenderOptions& options) {
  wire::ProgramSettings settings;
  settings.set_threads(options.threads);
  settings.set_scan_threads(options.scan_threads);
  settings.set_log_format(options.log_format == LogFormat::kJson ? "json" : "text");
  if (options.metrics) settings.set_metrics(*options.metrics);
  settings.set_verbose(options.verbose);
  settings.set_delete_ledger(options.delete_ledger);
  return settings;
}

void TakeOver(const wire::ProgramSettings& known, SenderOptions& options) {
  const auto kept = [&](const char* name, bool was_set) { return was_set && !options.given.contains(name); };
  if (kept("threads", known.has_threads())) options.threads = known.threads();
  if (kept("scan-threads", known.has_scan_threads())) options.scan_threads = known.scan_threads();
  if (kept("log-format", known.has_log_format())) {
    options.log_format = known.log_format() == "json" ? LogFormat::kJson : LogFormat::kText;
  }
  if (kept("metrics", known.has_metrics())) options.metrics = known.metrics();
  if (kept("verbose", known.has_verbose())) options.verbose = known.verbose();
  if (kept("delete-ledger", known.has_delete_ledger())) options.delete_ledger = known.delete_ledger();
}

}  // namespace dicom_sender
