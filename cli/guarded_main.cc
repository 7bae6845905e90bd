#include "cli/guarded_main.h"

#include <spdlog/spdlog.h>

#include <exception>

#include "cli/exit_status.h"
#include "common/log.h"

namespace dicom_sender {

int GuardedMain(const char* program, const std::function<int(Console&)>& run) {
  CloseLog();  // until it is opened: spdlog's own logger would write to standard output
  Console console(program);
  try {
    const int exit_status = run(console);
    CloseLog();
    return exit_status;
  } catch (const std::exception& error) {
    spdlog::error("{}", error.what());
    CloseLog();
    console.Error(error.what());
    return kExitInternal;
  }
}

}  // namespace dicom_sender
