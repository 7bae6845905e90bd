#include "cli/exit_status.h"
#include "cli/guarded_main.h"
#include "common/open_files.h"
#include "common/stop_signal.h"
#include "programs/coordinator/program.h"

namespace {

constexpr unsigned kOpenFiles = 1024;  // a socket for each peer, and the ledger

int Run(const dicom_sender::CoordinatorOptions& options, dicom_sender::Console& console) {
  using namespace dicom_sender;
  const auto fails = [&console](const std::string& reason) {
    console.Error(reason);
    return kExitUsage;
  };
  if (const auto allowed = AllowOpenFiles(kOpenFiles); !allowed) return fails(allowed.error());
  StopSignals signals;  // before any other thread
  if (const auto log = OpenLog(options.service.log_file, options.service.log_format, options.service.verbose); !log) {
    return fails(log.error());
  }
  const auto done = RunCoordinator(options, signals.stop_token());
  return done ? kExitAllStored : fails(done.error());
}

}  // namespace

int main(int argc, char** argv) {
  using namespace dicom_sender;
  const auto options = ParseCoordinatorOptions(argc, argv);
  if (!options) return LeaveEarly(options.error());
  return GuardedMain("dicom-coordinator", [&](Console& console) { return Run(*options, console); });
}
