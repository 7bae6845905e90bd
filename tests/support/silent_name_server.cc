#include "tests/support/silent_name_server.h"

#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <cstring>
#include <fstream>

#include "tests/support/network.h"

namespace dicom_sender {
namespace {

constexpr const char* kResolverFile = "/etc/resolv.conf";
constexpr std::uint16_t kDnsPort = 53;

bool EnterNamespaces(const std::filesystem::path& resolver_file) {
  return unshare(CLONE_NEWNS | CLONE_NEWNET) == 0 && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount(resolver_file.c_str(), kResolverFile, nullptr, MS_BIND, nullptr) == 0;
}

bool StartLoopback(int fd) {
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  return ioctl(fd, SIOCSIFFLAGS, &request) == 0;
}

}  // namespace

std::optional<SilentNameServer> SilentNameServer::Start(const std::filesystem::path& folder) {
  const auto resolver_file = folder / "resolv.conf";
  std::ofstream(resolver_file) << "nameserver 127.0.0.1\noptions timeout:30 attempts:5\n";
  if (!EnterNamespaces(resolver_file)) return std::nullopt;
  UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = Loopback(kDnsPort);
  if (!StartLoopback(fd.get()) || bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return std::nullopt;
  }
  return SilentNameServer(std::move(fd));
}

bool SilentNameServer::WaitForQuestion(std::chrono::milliseconds timeout) const {
  pollfd question{socket_.get(), POLLIN, 0};
  return poll(&question, 1, static_cast<int>(timeout.count())) > 0;
}

}  // namespace dicom_sender
