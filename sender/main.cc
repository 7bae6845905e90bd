#include <unistd.h>

#include <exception>

#include "common/stop_signal.h"
#include "sender/cli/console.h"
#include "sender/cli/options.h"
#include "sender/dry_run.h"
#include "sender/echo.h"
#include "sender/send.h"
#include "sender/session.h"

namespace {

void WriteAll(int fd, const std::string& text) {
  [[maybe_unused]] const auto written = write(fd, text.data(), text.size());  // nobody reads: nothing to be done
}

int Run(const dicom_sender::SenderOptions& options, dicom_sender::Console& console) {
  using namespace dicom_sender;
  StopSignals signals;  // before any other thread
  if (options.echo) return RunEcho(options, console, signals.stop_token());
  if (options.dry_run) return RunDry(options, signals, console);
  return RunSend(options, signals, console);
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = dicom_sender::ParseOptions(argc, argv);
  if (!options) {
    WriteAll(STDOUT_FILENO, options.error().out);
    WriteAll(STDERR_FILENO, options.error().err);
    return options.error().exit_status;
  }
  dicom_sender::Console console;
  try {
    return Run(*options, console);
  } catch (const std::exception& error) {
    console.Error(error.what());
    return dicom_sender::kExitInternal;
  }
}
