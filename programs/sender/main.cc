#include "cli/guarded_main.h"
#include "common/open_files.h"
#include "common/stop_signal.h"
#include "programs/sender/dry_run.h"
#include "programs/sender/echo.h"
#include "programs/sender/options.h"
#include "programs/sender/send.h"
#include "programs/sender/session.h"
#include "programs/sender/session_choice.h"
#include "programs/sender/sessions.h"

namespace {

// Each association has a socket and a file open, each scan thread a file, and each decoder a few more.
constexpr unsigned kFilesPerThread = 8, kFilesBeside = 64;

unsigned OpenFilesNeeded(const dicom_sender::SenderOptions& options) {
  return kFilesPerThread * options.threads + options.scan_threads + kFilesBeside;
}

int Run(const dicom_sender::SenderOptions& given, dicom_sender::Console& console) {
  using namespace dicom_sender;
  if (given.list_sessions) return RunSessions(given, console);
  ChosenSession chosen{.options = given, .notice = {}, .warnings = {}};
  if (!given.echo && !given.dry_run) {
    auto choice = ChooseSession(given);
    if (!choice) {
      console.Error(choice.error().sentence);
      return choice.error().exit_status;
    }
    chosen = *std::move(choice);
  }
  const SenderOptions& options = chosen.options;
  if (const auto allowed = AllowOpenFiles(OpenFilesNeeded(options), "give fewer --threads"); !allowed) {
    console.Error(allowed.error());
    return kExitUsage;
  }
  StopSignals signals;  // before any other thread
  if (options.echo) return RunEcho(options, console, signals.stop_token());
  if (options.dry_run) return RunDry(options, signals, console);
  for (const std::string& warning : chosen.warnings) console.Warn(warning);
  console.Print(chosen.notice);
  return RunSend(options, signals, console);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace dicom_sender;
  const auto options = ParseOptions(argc, argv);
  if (!options) return LeaveEarly(options.error());
  return GuardedMain("dicom-sender", [&](Console& console) { return Run(*options, console); });
}
