#include "tests/support/test_destination/test_destination.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <list>
#include <mutex>
#include <thread>

#include "tests/support/test_destination/session.h"
#include "tests/support/test_destination/shared_state.h"

namespace dicom_sender {
namespace {

// The error is errno.
tl::expected<int, int> Listen(std::uint16_t& port, bool all_addresses) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return tl::unexpected(errno);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  socklen_t size = sizeof address;
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(all_addresses ? INADDR_ANY : INADDR_LOOPBACK);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(fd, generic, size) != 0 || ::listen(fd, SOMAXCONN) != 0 || ::getsockname(fd, generic, &size) != 0) {
    const int error = errno;
    ::close(fd);
    return tl::unexpected(error);
  }
  port = ntohs(address.sin_port);
  return fd;
}

}  // namespace

class TestDestination::Server {
 public:
  Server(DestinationOptions options, DestinationBehaviour behaviour)
      : port_(options.port), state_(std::move(options), std::move(behaviour)) {}
  ~Server() { Stop(); }

  tl::expected<void, std::string> Start();
  void Stop();
  std::uint16_t port() const { return port_; }
  SharedState& state() { return state_; }

 private:
  struct Connection {
    int socket = -1;  // -1: closed; under mutex_
    std::atomic<bool> is_over = false;
    std::thread thread;
  };

  void AcceptConnections(int listener);
  void AddConnection(int socket);
  void RunConnection(Connection& connection, int socket);
  void JoinFinished();

  std::mutex control_;  // one Start or Stop at a time
  std::atomic<std::uint16_t> port_;
  SharedState state_;
  int listener_ = -1;
  std::thread acceptor_;
  std::mutex mutex_;
  std::list<Connection> connections_;  // only the acceptor changes it, and Stop after the acceptor has ended
};

tl::expected<void, std::string> TestDestination::Server::Start() {
  const std::lock_guard control(control_);
  if (listener_ >= 0) return tl::unexpected(std::string("already listening"));
  std::uint16_t port = port_;
  const auto listener = Listen(port, state_.options().all_addresses);
  if (!listener) return tl::unexpected(std::string(std::strerror(listener.error())));
  port_ = port;
  listener_ = *listener;
  acceptor_ = std::thread([this] { AcceptConnections(listener_); });
  return {};
}

void TestDestination::Server::Stop() {
  const std::lock_guard control(control_);
  if (listener_ < 0) return;
  state_.SetStopping(true);
  ::shutdown(listener_, SHUT_RDWR);  // wakes the acceptor
  acceptor_.join();
  ::close(listener_);
  listener_ = -1;
  {
    const std::lock_guard lock(mutex_);
    for (const Connection& connection : connections_) {
      if (connection.socket >= 0) ::shutdown(connection.socket, SHUT_RDWR);  // wakes its thread
    }
  }
  for (Connection& connection : connections_) connection.thread.join();
  connections_.clear();
  state_.SetStopping(false);
}

void TestDestination::Server::AcceptConnections(int listener) {
  while (true) {
    const int socket = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
    if (socket < 0) return;
    JoinFinished();
    AddConnection(socket);
  }
}

void TestDestination::Server::AddConnection(int socket) {
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const int buffer_bytes = state_.Behaviour().receive_buffer_bytes;
  if (buffer_bytes != 0) ::setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
  const std::lock_guard lock(mutex_);
  Connection& connection = connections_.emplace_back();
  connection.socket = socket;
  connection.thread = std::thread([this, &connection, socket] { RunConnection(connection, socket); });
}

void TestDestination::Server::RunConnection(Connection& connection, int socket) {
  Session(socket, state_).Run();
  {
    const std::lock_guard lock(mutex_);  // Stop must not shut down a closed descriptor, which may be in use again
    ::close(socket);
    connection.socket = -1;
  }
  connection.is_over = true;
}

void TestDestination::Server::JoinFinished() {
  const std::lock_guard lock(mutex_);
  std::erase_if(connections_, [](Connection& connection) {
    if (!connection.is_over) return false;
    connection.thread.join();
    return true;
  });
}

TestDestination::TestDestination(DestinationOptions options, DestinationBehaviour behaviour)
    : server_(std::make_unique<Server>(std::move(options), std::move(behaviour))) {}
TestDestination::~TestDestination() = default;
tl::expected<void, std::string> TestDestination::Start() { return server_->Start(); }
void TestDestination::Stop() { server_->Stop(); }
std::uint16_t TestDestination::port() const { return server_->port(); }
void TestDestination::SetBehaviour(DestinationBehaviour behaviour) {
  server_->state().SetBehaviour(std::move(behaviour));
}
DestinationBehaviour TestDestination::Behaviour() const { return server_->state().Behaviour(); }
DestinationLog TestDestination::Log() const { return server_->state().Log(); }
bool TestDestination::WaitFor(const std::function<bool(const DestinationLog&)>& condition,
                              std::chrono::milliseconds timeout) const {
  return server_->state().WaitFor(condition, timeout);
}

std::string_view ToString(AssociationEnd end) {
  switch (end) {
    case AssociationEnd::kOpen:
      return "open";
    case AssociationEnd::kRejected:
      return "rejected";
    case AssociationEnd::kReleased:
      return "released";
    case AssociationEnd::kAbortedByPeer:
      return "aborted by peer";
    case AssociationEnd::kAbortedByUs:
      return "aborted by us";
    case AssociationEnd::kDroppedByUs:
      return "dropped by us";
    case AssociationEnd::kLost:
      return "lost";
  }
  return "";
}

std::uint64_t Fnv1a(std::string_view bytes, std::uint64_t hash) {
  constexpr std::uint64_t kPrime = 0x100000001B3U;
  for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * kPrime;
  return hash;
}

}  // namespace dicom_sender
