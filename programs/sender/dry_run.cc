#include "programs/sender/dry_run.h"

#include <unistd.h>

#include "preflight/report.h"
#include "preflight/scan.h"
#include "programs/sender/session.h"

namespace dicom_sender {
namespace {

tl::expected<void, Failure> Scan(Session& session, StopSignals& signals, Console& console) {
  session.StartIndexer();
  if (auto scanned = WaitForScan(session.engine(), signals, console); !scanned) return scanned;
  const auto status = session.Status();
  if (!status) return tl::unexpected(status.error());
  if (status->total() == 0) return tl::unexpected(NothingFound(*status));
  return {};
}

// The command that sends what this dry run has scanned. It has placeholders for a destination that was not given.
std::string SendCommand(const Session& session, const std::string& output_dir) {
  const std::string command = ResumeCommand(session.id(), output_dir, /*retry_failed=*/false);
  return command + (session.settings().destination().host().empty() ? " -a AE -H HOST -p PORT" : "");
}

int Report(Session& session, const SenderOptions& options, StopSignals& signals, Console& console) {
  Ledger& ledger = session.ledger();
  const Preflight preflight = MakePreflight(ledger, SuspendIfOpen(ledger, session.record()), signals.stop_token());
  const bool keeps_scan = preflight.session.counts.unsettled() > 0;
  const ReportContext context{.log_file = session.files().log,
                              .scan_is_kept = keeps_scan,
                              .send_command = keeps_scan ? SendCommand(session, options.output_dir) : ""};
  const int exit_status = ReportPreflight(preflight, ledger, options.format, context, STDOUT_FILENO, console);
  if (!keeps_scan) session.RemoveFiles(/*all=*/false);
  return exit_status;
}

int Run(const SenderOptions& options, StopSignals& signals, Console& console) {
  auto session = Session::Open(options, console);
  if (!session) {
    console.Error(session.error().sentence);
    return session.error().exit_status;
  }
  const auto scanned = Scan(**session, signals, console);
  console.EndProgress();
  (*session)->Stop();
  if (scanned) return Report(**session, options, signals, console);
  console.Error(scanned.error().sentence);
  (*session)->RemoveFiles(/*all=*/true);
  return scanned.error().exit_status;
}

}  // namespace

int RunDry(const SenderOptions& options, StopSignals& signals, Console& console) {
  if (options.format == PlanFormat::kText) return Run(options, signals, console);
  // Standard output has only the JSON object.
  Console errors("dicom-sender", STDERR_FILENO, STDERR_FILENO, DetectStyle(STDERR_FILENO, ProcessEnvironment));
  return Run(options, signals, errors);
}

}  // namespace dicom_sender
