#include <unistd.h>

#include <cstdlib>

#include "cli/exit_status.h"
#include "cli/guarded_main.h"
#include "common/open_files.h"
#include "common/stop_signal.h"
#include "programs/indexer/dry_run.h"
#include "programs/indexer/program.h"

namespace {

constexpr unsigned kFilesBeside = 64;  // open in addition to the files that are being read, such as sockets

// Standard output has only the session's ID, so that a script can read it. With --wait, the log must not go to
// standard error, where it would mix with the progress.
int Run(const dicom_sender::IndexerProgramOptions& options) {
  using namespace dicom_sender;
  Console console("dicom-indexer", STDERR_FILENO, STDERR_FILENO, DetectStyle(STDERR_FILENO, ProcessEnvironment));
  if (const auto allowed = AllowOpenFiles(options.scan_threads + kFilesBeside, "give fewer --scan-threads");
      !allowed) {
    console.Error(allowed.error());
    return kExitUsage;
  }
  StopSignals signals;  // before any other thread
  const ServiceOptions& service = options.service;
  if (service.log_file || !(options.wait || options.dry_run)) {
    if (const auto log = OpenLog(service.log_file, service.log_format, service.verbose); !log) {
      console.Error(log.error());
      return kExitUsage;
    }
  }
  if (options.dry_run) return RunIndexerDry(options, signals, console);
  return RunIndexerProgram(options, signals, console);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace dicom_sender;
  const auto options = ParseIndexerOptions(argc, argv);
  if (!options) return LeaveEarly(options.error());
  return GuardedMain("dicom-indexer", [&](Console&) { return Run(*options); });
}
