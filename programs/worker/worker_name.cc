#include "programs/worker/worker_name.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace dicom_sender {
namespace {

constexpr int kNumbersMax = 10'000;

std::string HostName() {
  std::array<char, 256> name{};
  gethostname(name.data(), name.size() - 1);
  return name[0] == '\0' ? "worker" : name.data();
}

// Abstract socket addresses belong to one network namespace, have no file, and vanish with their process.
bool Take(int socket, const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t length = name.copy(address.sun_path + 1, sizeof address.sun_path - 1);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + length);
  if (bind(socket, reinterpret_cast<const sockaddr*>(&address), size) == 0) return true;
  if (errno == EADDRINUSE) return false;
  throw std::system_error(errno, std::generic_category(), "a name for this worker");
}

}  // namespace

WorkerName::WorkerName() : socket_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
  if (!socket_.valid()) throw std::system_error(errno, std::generic_category(), "socket");
  for (int number = 0; number < kNumbersMax; ++number) {
    if (!Take(socket_.get(), fmt::format("dicom-worker-{}", number))) continue;
    text_ = fmt::format("{}-{}", HostName(), number);
    return;
  }
  throw std::system_error(EADDRINUSE, std::generic_category(), "a name for this worker");
}

}  // namespace dicom_sender
