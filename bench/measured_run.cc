#include "bench/measured_run.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <system_error>

#include "bench/destination.h"
#include "tests/support/process.h"

namespace dicom_sender {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::minutes kRunTimeout(30);

// ChildProcess::Wait polls every few milliseconds, which is too coarse for a measurement.
void WaitForEnd(const ChildProcess& process) {
  const int fd = static_cast<int>(::syscall(SYS_pidfd_open, process.id(), 0));  // glibc 2.36 has no header for C++
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "pidfd_open");
  pollfd ended{fd, POLLIN, 0};
  ::poll(&ended, 1, static_cast<int>(std::chrono::milliseconds(kRunTimeout).count()));
  ::close(fd);
}

// Describes how the process ended and what it wrote; empty if its exit status is 0.
std::string HowItFailed(ChildProcess& process) {
  const auto end = process.Wait(std::chrono::seconds(1));
  if (end == ProcessEnd{0, 0}) return {};
  const std::string how =
      end ? fmt::format("ended with status {}, signal {}", end->exit_status, end->signal) : "does not end";
  return fmt::format("{}\n{}{}", how, process.Output(), process.Errors());
}

}  // namespace

MeasuredRun RunMeasured(const std::string& name, const std::vector<std::string>& command,
                        const std::vector<std::string>& environment) {
  const auto begin = steady_clock::now();
  ChildProcess process(command, environment);
  WaitForEnd(process);
  const double wall = std::chrono::duration<double>(steady_clock::now() - begin).count();
  if (const std::string failure = HowItFailed(process); !failure.empty()) {
    throw std::runtime_error(fmt::format("{} {}", name, failure));
  }
  return {.wall_seconds = wall,
          .cpu_seconds = CpuSeconds(process.Usage()),
          .peak_rss_mebibytes = static_cast<double>(process.Usage().ru_maxrss) / 1024};
}

}  // namespace dicom_sender
