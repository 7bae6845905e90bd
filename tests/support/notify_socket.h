// Simulates a service manager: the socket in $NOTIFY_SOCKET that sd_notify(3) describes. For tests only.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <system_error>

#include "common/unique_fd.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {

class NotifySocket {
 public:
  NotifySocket() : fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path().copy(address.sun_path, sizeof address.sun_path - 1);
    if (bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      throw std::system_error(errno, std::generic_category(), "bind " + path());
    }
  }

  std::string path() const { return folder_ / "notify"; }
  // Returns the next message; nullopt if none arrives.
  std::optional<std::string> Receive(std::chrono::milliseconds timeout) const {
    pollfd ready = {fd_.get(), POLLIN, 0};
    if (poll(&ready, 1, static_cast<int>(timeout.count())) != 1) return std::nullopt;
    std::array<char, 4096> text{};
    const auto size = recv(fd_.get(), text.data(), text.size(), 0);
    if (size < 0) return std::nullopt;
    return std::string(text.data(), static_cast<std::size_t>(size));
  }
  // Returns whether a message with this prefix arrives. Discards earlier messages.
  bool WaitFor(const std::string& begin, std::chrono::milliseconds timeout) const {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    for (auto left = timeout; left.count() > 0;) {
      const auto message = Receive(left);
      if (message && message->starts_with(begin)) return true;
      left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    }
    return false;
  }
  void Drain() const {
    while (Receive(std::chrono::milliseconds(0))) continue;
  }

 private:
  TemporaryFolder folder_;
  UniqueFd fd_;
};

}  // namespace dicom_sender
