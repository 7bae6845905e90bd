#include "cli/guarded_main.h"

#include <spdlog/spdlog.h>

#include <exception>

#include "cli/exit_status.h"
#include "common/log.h"
#include "common/store_error.h"

namespace dicom_sender {

int GuardedMain(const char* program, const std::function<int(Console&)>& run) {
  CloseLog();  // until the log is opened, because spdlog's default logger writes to standard output
  Console console(program);
  const auto fails = [&console](const std::exception& error, int exit_status) {
    spdlog::error("{}", error.what());
    CloseLog();
    console.Error(error.what());
    return exit_status;
  };
  try {
    const int exit_status = run(console);
    CloseLog();
    return exit_status;
  } catch (const StoreError& error) {
    return fails(error, kExitCannotWrite);
  } catch (const std::exception& error) {
    return fails(error, kExitInternal);
  }
}

}  // namespace dicom_sender
