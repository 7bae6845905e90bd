#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "cli/exit_status.h"
#include "cli/guarded_main.h"
#include "programs/ctl/commands.h"

namespace {

void WriteOut(const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t written = write(STDOUT_FILENO, text.data() + done, text.size() - done);
    if (written < 0) {  // do not request the rest
      fmt::print(stderr, "dicom-ctl: standard output cannot be written: {}\n", std::strerror(errno));
      std::exit(dicom_sender::kExitInternal);
    }
    done += static_cast<std::size_t>(written);
  }
}

}  // namespace

int main(int argc, char** argv) {
  using namespace dicom_sender;
  const auto options = ParseCtlOptions(argc, argv);
  if (!options) return LeaveEarly(options.error());
  return GuardedMain("dicom-ctl", [&](Console& console) {
    const auto done = RunCommand(*options, WriteOut);
    if (done) return kExitDone;
    console.Error(done.error().reason);
    return done.error().exit_status;
  });
}
