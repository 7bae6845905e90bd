#include "common/http_connections.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

namespace dicom_sender {
namespace {

constexpr std::size_t kHeadBytesMax = 8192;
constexpr std::chrono::seconds kReadWithin(1), kWriteWithin(10), kCloseWithin(1);
constexpr std::size_t kConnectionsMax = 128, kConnectionsPerAddressMax = 32;
constexpr int kBacklog = 128;
// Fewer than the limit per address, so each connection is served once before newer ones can evict it.
constexpr int kAcceptAtOnce = 16;
constexpr std::chrono::milliseconds kAcceptPause(100);  // after running out of file descriptors

bool WouldBlock(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

std::string AddressOf(const sockaddr_storage& peer) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* address = &reinterpret_cast<const sockaddr_in&>(peer).sin_addr;
  if (peer.ss_family == AF_INET6) address = &reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr;
  const char* written = inet_ntop(peer.ss_family, address, text.data(), text.size());
  return written != nullptr ? written : "";
}

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

tl::expected<AddressList, std::string> Resolve(const std::string& address) {
  const auto colon = address.rfind(':');
  if (colon == std::string::npos) return tl::unexpected(std::string("the address is not HOST:PORT"));
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), address.substr(colon + 1).c_str(), &hints, &found);
  if (error != 0) return tl::unexpected(std::string(gai_strerror(error)));
  return AddressList(found, &freeaddrinfo);
}

// Returns an invalid descriptor and sets errno if the address cannot be bound.
UniqueFd Bind(const addrinfo& address) {
  UniqueFd fd(socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return fd;
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.ai_family == AF_INET6) setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (bind(fd.get(), address.ai_addr, address.ai_addrlen) == 0 && listen(fd.get(), kBacklog) == 0) return fd;
  return {};
}

short EventsOf(bool reads, bool writes) { return static_cast<short>((reads ? POLLIN : 0) | (writes ? POLLOUT : 0)); }

}  // namespace

bool EndsHead(std::string_view bytes) {
  return bytes.find("\r\n\r\n") != std::string_view::npos || bytes.find("\n\n") != std::string_view::npos;
}

tl::expected<UniqueFd, std::string> HttpConnections::Listen(const std::string& address) {
  const auto found = Resolve(address);
  if (!found) return tl::unexpected(found.error());
  int error = 0;
  // "localhost" has two addresses, and clients use IPv4 more often.
  for (const int family : {AF_INET, AF_INET6}) {
    for (const addrinfo* entry = found->get(); entry != nullptr; entry = entry->ai_next) {
      if (entry->ai_family != family) continue;
      if (UniqueFd fd = Bind(*entry); fd.valid()) return fd;
      error = errno;
    }
  }
  return tl::unexpected(std::string(std::strerror(error)));
}

HttpConnections::HttpConnections(UniqueFd listener, OnRequest on_request)
    : listener_(std::move(listener)), on_request_(std::move(on_request)), thread_([this] { Run(); }) {}

HttpConnections::~HttpConnections() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  wake_.Raise();
  thread_.join();
}

void HttpConnections::Answer(Id id, std::string bytes) {
  {
    const std::lock_guard lock(mutex_);
    answers_.emplace(id, std::move(bytes));
  }
  wake_.Raise();
}

void HttpConnections::Run() {
  for (;;) {
    std::vector<pollfd> polled = Wanted(MonotonicNow());
    poll(polled.data(), polled.size(), Timeout(MonotonicNow()));
    wake_.Clear();
    {
      const std::lock_guard lock(mutex_);
      if (ends_) return;
    }
    auto events = polled.begin() + 2;  // the connections' entries, in the same order
    for (auto it = connections_.begin(); it != connections_.end(); ++events) {
      const bool stays = events->revents == 0 || Serve(it->first, it->second, events->revents);
      it = stays ? std::next(it) : connections_.erase(it);
    }
    TakeAnswers();
    CloseOverdue(MonotonicNow());
    if (polled[1].revents != 0) AcceptSome();
  }
}

std::vector<pollfd> HttpConnections::Wanted(TimePoint now) const {
  std::vector<pollfd> wanted = {{wake_.fd(), POLLIN, 0},
                                {listener_.get(), EventsOf(now >= accept_again_at_, false), 0}};
  for (const auto& [id, connection] : connections_) {
    const bool reads = connection.state == State::kReading || connection.state == State::kClosing;
    wanted.push_back({connection.fd.get(), EventsOf(reads, connection.state == State::kWriting), 0});
  }
  return wanted;
}

int HttpConnections::Timeout(TimePoint now) const {
  TimePoint next = now < accept_again_at_ ? accept_again_at_ : TimePoint::max();
  for (const auto& [id, connection] : connections_) next = std::min(next, connection.deadline);
  if (next == TimePoint::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - now);
  return static_cast<int>(std::max(left, std::chrono::milliseconds(0)).count());
}

void HttpConnections::TakeAnswers() {
  std::map<Id, std::string> answers;
  {
    const std::lock_guard lock(mutex_);
    answers.swap(answers_);
  }
  for (auto& [id, bytes] : answers) {
    const auto it = connections_.find(id);
    if (it != connections_.end() && !BeginAnswer(it->second, std::move(bytes))) connections_.erase(it);
  }
}

void HttpConnections::CloseOverdue(TimePoint now) {
  std::erase_if(connections_, [now](const auto& entry) { return entry.second.deadline <= now; });
}

void HttpConnections::AcceptSome() {
  for (int i = 0; i < kAcceptAtOnce; ++i) {
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    UniqueFd fd(accept4(listener_.get(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.valid() && !WouldBlock(errno) && errno != ECONNABORTED) accept_again_at_ = MonotonicNow() + kAcceptPause;
    if (!fd.valid()) return;
    std::string address = AddressOf(peer);
    MakeRoomFor(address);
    Connection& connection = connections_[++last_id_];
    connection.fd = std::move(fd);
    connection.address = std::move(address);
    connection.deadline = MonotonicNow() + kReadWithin;
  }
}

void HttpConnections::MakeRoomFor(const std::string& address) {
  const auto is_same = [&address](const auto& entry) { return entry.second.address == address; };
  const auto same = std::count_if(connections_.begin(), connections_.end(), is_same);
  if (static_cast<std::size_t>(same) >= kConnectionsPerAddressMax) {
    connections_.erase(std::find_if(connections_.begin(), connections_.end(), is_same));
  } else if (connections_.size() >= kConnectionsMax) {
    connections_.erase(connections_.begin());
  }
}

bool HttpConnections::Serve(Id id, Connection& connection, short events) {
  switch (connection.state) {
    case State::kReading:
      return Read(id, connection);
    case State::kWriting:
      return Write(connection);
    case State::kWaiting:  // no event was requested, so only an error or a hang-up is reported
      return (events & (POLLERR | POLLHUP)) == 0;
    case State::kClosing: {
      std::array<char, 4096> rest{};
      const ssize_t got = recv(connection.fd.get(), rest.data(), rest.size(), 0);
      return got > 0 || (got < 0 && WouldBlock(errno));
    }
  }
  return false;
}

bool HttpConnections::Read(Id id, Connection& connection) {
  std::array<char, kHeadBytesMax> buffer{};
  const std::size_t room = kHeadBytesMax - connection.bytes.size();
  const ssize_t got = recv(connection.fd.get(), buffer.data(), room, 0);
  if (got <= 0) return got < 0 && WouldBlock(errno);
  connection.bytes.append(buffer.data(), static_cast<std::size_t>(got));
  if (!EndsHead(connection.bytes) && connection.bytes.size() < kHeadBytesMax) return true;
  connection.state = State::kWaiting;
  connection.deadline = TimePoint::max();
  auto answer = on_request_(id, connection.bytes);
  return !answer || BeginAnswer(connection, *std::move(answer));
}

bool HttpConnections::BeginAnswer(Connection& connection, std::string bytes) {
  connection.bytes = std::move(bytes);
  connection.state = State::kWriting;
  connection.deadline = MonotonicNow() + kWriteWithin;
  return Write(connection);
}

bool HttpConnections::Write(Connection& connection) {
  const ssize_t sent = send(connection.fd.get(), connection.bytes.data() + connection.written,
                            connection.bytes.size() - connection.written, MSG_NOSIGNAL);
  if (sent < 0) return WouldBlock(errno);
  connection.written += static_cast<std::size_t>(sent);
  if (connection.written < connection.bytes.size()) return true;
  // Closing the socket with unread data would reset the connection, and the peer would lose the response.
  shutdown(connection.fd.get(), SHUT_WR);
  connection.state = State::kClosing;
  connection.deadline = MonotonicNow() + kCloseWithin;
  return true;
}

}  // namespace dicom_sender
