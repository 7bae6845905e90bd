#include <fmt/format.h>
#include <sys/resource.h>

#include <exception>
#include <tl/expected.hpp>

#include "cli/console.h"
#include "common/stop_signal.h"
#include "sender/dry_run.h"
#include "sender/echo.h"
#include "sender/options.h"
#include "sender/send.h"
#include "sender/session.h"

namespace {

// Each association has a socket and a file open, each scan thread a file, and a decoder some more.
constexpr rlim_t kFilesPerThread = 8, kFilesBeside = 64;

// As many open files as the system allows; the error says that they are too few.
tl::expected<void, std::string> AllowOpenFiles(const dicom_sender::SenderOptions& options) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return {};
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);  // if it fails, the check below tells
  const rlim_t needed = kFilesPerThread * options.threads + options.scan_threads + kFilesBeside;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed) return {};
  return tl::unexpected(fmt::format(
      "{} open files are allowed and {} needed: raise `ulimit -n`, or give fewer --threads", limit.rlim_cur, needed));
}

int Run(const dicom_sender::SenderOptions& options, dicom_sender::Console& console) {
  using namespace dicom_sender;
  if (const auto allowed = AllowOpenFiles(options); !allowed) {
    console.Error(allowed.error());
    return kExitUsage;
  }
  StopSignals signals;  // before any other thread
  if (options.echo) return RunEcho(options, console, signals.stop_token());
  if (options.dry_run) return RunDry(options, signals, console);
  return RunSend(options, signals, console);
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = dicom_sender::ParseOptions(argc, argv);
  if (!options) return dicom_sender::LeaveEarly(options.error());
  dicom_sender::Console console("dicom-sender");
  try {
    return Run(*options, console);
  } catch (const std::exception& error) {
    console.Error(error.what());
    return dicom_sender::kExitInternal;
  }
}
