#include "cli/guarded_main.h"
#include "common/open_files.h"
#include "programs/worker/program.h"

namespace {

// Each association has a socket and a file open, and each decoder a few more.
constexpr unsigned kFilesPerThread = 8, kFilesBeside = 64;

int Run(const dicom_sender::WorkerProgramOptions& options, dicom_sender::Console& console) {
  using namespace dicom_sender;
  const auto fails = [&console](int exit_status, const std::string& reason) {
    console.Error(reason);
    return exit_status;
  };
  if (const auto allowed = AllowOpenFiles(kFilesPerThread * options.threads + kFilesBeside, "give fewer --threads");
      !allowed) {
    return fails(kExitUsage, allowed.error());
  }
  StopSignals signals;  // before any other thread
  if (const auto log = OpenLog(options.service.log_file, options.service.log_format, options.service.verbose); !log) {
    return fails(kExitUsage, log.error());
  }
  const auto done = RunWorkerProgram(options, signals);
  return done ? *done : fails(done.error().exit_status, done.error().reason);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace dicom_sender;
  const auto options = ParseWorkerOptions(argc, argv);
  if (!options) return LeaveEarly(options.error());
  return GuardedMain("dicom-worker", [&](Console& console) { return Run(*options, console); });
}
