#include "tests/support/network.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <list>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace dicom_sender {

sockaddr_in Loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

namespace {

constexpr std::uint16_t kFirstPort = 20'000, kPorts = 10'000;
constexpr std::size_t kBufferBytes = 65536;

UniqueFd TcpSocket() { return UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

bool Bind(int fd, std::uint16_t port) {
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);  // allows connections of earlier tests in TIME_WAIT
  const sockaddr_in address = Loopback(port);
  return bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

// An address without a file, which is released when its process ends.
bool Claim(int fd, const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t length = name.copy(address.sun_path + 1, sizeof address.sun_path - 1);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + length);
  return bind(fd, reinterpret_cast<const sockaddr*>(&address), size) == 0;
}

}  // namespace

// The search starts at a different port in each process, so that concurrent tests seldom conflict.
ReservedPort::ReservedPort() {
  const auto begin = static_cast<unsigned>(getpid()) * 37U;
  for (unsigned i = 0; i < kPorts; ++i) {
    if (Take(static_cast<std::uint16_t>(kFirstPort + (begin + i) % kPorts))) return;
  }
  throw std::runtime_error("no port is left");
}

bool ReservedPort::Take(std::uint16_t number) {
  UniqueFd claim(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!Claim(claim.get(), "dicom-sender-test-port-" + std::to_string(number))) return false;
  if (!Bind(TcpSocket().get(), number)) return false;
  number_ = number;
  claim_ = std::move(claim);
  return true;
}

// Used only in the proxy's thread.
class TcpProxy::Connections {
 public:
  void Add(UniqueFd client, std::uint16_t server_port) {
    UniqueFd server = TcpSocket();
    const sockaddr_in address = Loopback(server_port);
    if (connect(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return;
    all_.push_back({std::move(client), std::move(server), {}});
  }

  // Returns the events to wait for; Move() handles them.
  void AppendTo(std::vector<pollfd>& waits) const {
    for (const Connection& connection : all_) {
      for (std::size_t side = 0; side < 2; ++side) {
        const bool reads = connection.waiting[side].empty(), writes = !connection.waiting[1 - side].empty();
        waits.push_back({connection.Fd(side), static_cast<short>((reads ? POLLIN : 0) | (writes ? POLLOUT : 0)), 0});
      }
    }
  }
  void Move(const pollfd* answers) {
    for (auto it = all_.begin(); it != all_.end(); answers += 2) {
      const bool alive = Move(*it, 0, answers[0].revents) && Move(*it, 1, answers[1].revents);
      it = alive ? std::next(it) : all_.erase(it);
    }
  }

 private:
  struct Connection {
    UniqueFd client, server;
    std::array<std::string, 2> waiting;  // received from that side and not yet sent to the other
    int Fd(std::size_t side) const { return side == 0 ? client.get() : server.get(); }
  };

  // Returns false if that side has closed the connection; the other side must see that.
  static bool Move(Connection& connection, std::size_t side, short events) {
    if (std::string& out = connection.waiting[1 - side]; events & POLLOUT) {
      const ssize_t sent = send(connection.Fd(side), out.data(), out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent > 0) out.erase(0, static_cast<std::size_t>(sent));
      if (sent < 0 && errno != EAGAIN) return false;
    }
    if (events & POLLIN) {
      std::string& in = connection.waiting[side];
      in.resize(kBufferBytes);
      const ssize_t got = recv(connection.Fd(side), in.data(), in.size(), MSG_DONTWAIT);
      in.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
      return got > 0 || (got < 0 && errno == EAGAIN);
    }
    return (events & (POLLERR | POLLHUP)) == 0;
  }

  std::list<Connection> all_;
};

TcpProxy::TcpProxy(std::uint16_t listen_port, std::uint16_t server_port)
    : server_port_(server_port), listener_(TcpSocket()), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!Bind(listener_.get(), listen_port) || listen(listener_.get(), SOMAXCONN) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot listen on port " + std::to_string(listen_port));
  }
  thread_ = std::thread([this] { Run(); });
}

TcpProxy::~TcpProxy() {
  ended_ = true;
  eventfd_write(wake_.get(), 1);
  thread_.join();
}

void TcpProxy::SetBlocked(bool blocked) {
  blocked_ = blocked;
  eventfd_write(wake_.get(), 1);
}

void TcpProxy::Run() {
  Connections connections;
  while (!ended_) {
    std::vector<pollfd> waits = {{wake_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    if (!blocked_) connections.AppendTo(waits);
    if (blocked_) waits[1].fd = -1;  // new clients wait in the backlog
    if (poll(waits.data(), waits.size(), -1) < 0) continue;
    eventfd_t ignored = 0;
    if (waits[0].revents) eventfd_read(wake_.get(), &ignored);
    if (waits.size() > 2) connections.Move(&waits[2]);
    if (waits[1].revents) {
      connections.Add(UniqueFd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)), server_port_);
    }
  }
}

}  // namespace dicom_sender
