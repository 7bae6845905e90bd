#include "tests/support/connection_cutter.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <list>
#include <map>
#include <system_error>
#include <vector>

namespace dicom_sender {
namespace {

constexpr std::size_t kBufferBytes = 65536;

// Requests that a client may send before its first typed message. The answer is one byte.
constexpr std::uint32_t kEncryptionByTls = 80877103, kEncryptionByGssapi = 80877104;

std::uint32_t NumberAt(const std::string& bytes, std::size_t at) {
  std::uint32_t number = 0;
  std::memcpy(&number, bytes.data() + at, sizeof number);
  return ntohl(number);
}

// The type is the message's first byte; 0 for the untyped messages at the beginning of a connection.
struct Message {
  char type = 0;
  std::string bytes;
};

// Removes the first message from `bytes` and returns it if it is complete.
std::optional<Message> TakeMessage(std::string& bytes, bool typed) {
  const std::size_t type_bytes = typed ? 1 : 0;
  if (bytes.size() < type_bytes + 4) return std::nullopt;
  const std::size_t size = type_bytes + NumberAt(bytes, type_bytes);
  if (bytes.size() < size) return std::nullopt;
  Message message{typed ? bytes[0] : '\0', bytes.substr(0, size)};
  bytes.erase(0, size);
  return message;
}

// Returns the text at `at` in a typed message, and moves `at` behind it.
std::string TextAt(const Message& message, std::size_t& at) {
  std::string text = message.bytes.c_str() + at;
  at += text.size() + 1;
  return text;
}

void Reset(UniqueFd& socket) {
  const linger now{.l_onoff = 1, .l_linger = 0};
  setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  socket.reset();
}

UniqueFd Connect(std::uint16_t port) {
  UniqueFd server(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = Loopback(port);
  if (connect(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) server.reset();
  return server;
}

}  // namespace

// Used only in the cutter's thread.
class ConnectionCutter::Connection {
 public:
  enum class Event { kNone, kHungUp, kSprung };

  Connection(UniqueFd client, UniqueFd server) : sides_{Side{std::move(client)}, Side{std::move(server)}} {}

  void AppendTo(std::vector<pollfd>& waits) const {
    for (std::size_t i = 0; i < 2; ++i) {
      const bool reads = sides_[1 - i].out.empty(), writes = !sides_[i].out.empty();
      waits.push_back({sides_[i].socket.get(), static_cast<short>((reads ? POLLIN : 0) | (writes ? POLLOUT : 0)), 0});
    }
  }
  Event Move(const pollfd* answers, const std::optional<Trap>& trap) {
    for (std::size_t i = 0; i < 2; ++i) {
      if (!Transfer(sides_[i], answers[i].revents)) return Event::kHungUp;
    }
    if (FromClient(trap) || FromServer(trap)) return Event::kSprung;
    return Event::kNone;
  }
  // Sends the data that the client must still receive, and then cuts both sides.
  void Cut() {
    Side& client = sides_[0];
    if (!client.out.empty()) send(client.socket.get(), client.out.data(), client.out.size(), MSG_NOSIGNAL);
    for (Side& side : sides_) Reset(side.socket);
  }
  // Cuts only the client's side and returns the server's.
  UniqueFd CutClient() {
    Reset(sides_[0].socket);
    return std::move(sides_[1].socket);
  }

 private:
  struct Side {
    UniqueFd socket;
    std::string in = {};   // received, not yet a complete message
    std::string out = {};  // to be sent
  };

  static bool Transfer(Side& side, short events) {
    if (events & POLLOUT) {
      const ssize_t sent = send(side.socket.get(), side.out.data(), side.out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent < 0 && errno != EAGAIN) return false;
      if (sent > 0) side.out.erase(0, static_cast<std::size_t>(sent));
    }
    if (events & POLLIN) {
      std::array<char, kBufferBytes> buffer;
      const ssize_t got = recv(side.socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (got > 0) side.in.append(buffer.data(), static_cast<std::size_t>(got));
      return got > 0 || (got < 0 && errno == EAGAIN);
    }
    return (events & (POLLERR | POLLHUP)) == 0;
  }

  // These two return true if the trap has triggered.
  bool FromClient(const std::optional<Trap>& trap) {
    while (const auto message = TakeMessage(sides_[0].in, started_)) {
      const std::string sql = Statement(*message);
      if (trap && answer_due_ == 0 && sql.starts_with(trap->sql)) {
        if (trap->moment == Moment::kBefore || trap->moment == Moment::kSwallowed) return true;
        answer_due_ = answers_asked_ + 1;
      }
      if (message->type == 'Q' || message->type == 'S') ++answers_asked_;
      sides_[1].out += message->bytes;
    }
    return false;
  }
  bool FromServer(const std::optional<Trap>& trap) {
    std::string& in = sides_[1].in;
    if (!started_) {
      sides_[0].out += std::exchange(in, {});  // the byte that refuses encryption
      return false;
    }
    while (const auto message = TakeMessage(in, true)) {
      const bool is_awaited = trap && answer_due_ == answers_ + 1;
      if (!is_awaited || trap->moment == Moment::kAnswered) sides_[0].out += message->bytes;
      if (message->type == 'Z') ++answers_;
      if (is_awaited && message->type == 'Z') return true;
    }
    return false;
  }

  // Returns the statement that the message executes; empty for other messages.
  std::string Statement(const Message& message) {
    if (!started_) {
      const std::uint32_t code = NumberAt(message.bytes, 4);
      started_ = code != kEncryptionByTls && code != kEncryptionByGssapi;
      return {};
    }
    std::size_t at = 5;
    if (message.type == 'Q') return TextAt(message, at);
    if (message.type == 'P') {  // Parse: name, text
      const std::string name = TextAt(message, at);
      prepared_[name] = TextAt(message, at);
    }
    if (message.type == 'B') {  // Bind: portal, name
      TextAt(message, at);
      return prepared_[TextAt(message, at)];
    }
    return {};
  }

  std::array<Side, 2> sides_;  // client, server
  bool started_ = false;       // messages are typed now
  std::map<std::string, std::string> prepared_;
  // The server is ready once at the beginning, and then after each Query and each Sync.
  std::uint64_t answers_asked_ = 1, answers_ = 0;
  std::uint64_t answer_due_ = 0;  // the number of the answer to the trap's statement; 0: not seen yet
};

class ConnectionCutter::Connections {
 public:
  void Add(UniqueFd client, std::uint16_t server_port) {
    UniqueFd server = Connect(server_port);
    if (!server.valid()) {
      Reset(client);
      return;
    }
    all_.emplace_back(std::move(client), std::move(server));
  }
  void AppendTo(std::vector<pollfd>& waits) const {
    for (const Connection& connection : all_) connection.AppendTo(waits);
  }
  // Returns true if the trap has triggered and its connection was cut.
  bool Move(const pollfd* answers, const std::optional<Trap>& trap) {
    bool sprung = false;
    for (auto it = all_.begin(); it != all_.end(); answers += 2) {
      const Connection::Event event = it->Move(answers, sprung ? std::nullopt : trap);
      if (event == Connection::Event::kSprung) {
        trap->moment == Moment::kSwallowed ? silent_.push_back(it->CutClient()) : it->Cut();
        sprung = true;
      }
      it = event == Connection::Event::kNone ? std::next(it) : all_.erase(it);
    }
    return sprung;
  }
  void Cut() {
    for (Connection& connection : all_) connection.Cut();
    all_.clear();
  }

 private:
  std::list<Connection> all_;
  std::vector<UniqueFd> silent_;
};

ConnectionCutter::ConnectionCutter(std::uint16_t server_port)
    : server_port_(server_port),
      listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  const int on = 1;
  setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const sockaddr_in address = Loopback(port());
  if (bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener_.get(), SOMAXCONN) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot listen on port " + std::to_string(port()));
  }
  thread_ = std::thread([this] { Run(); });
}

ConnectionCutter::~ConnectionCutter() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  Wake();
  thread_.join();
}

void ConnectionCutter::Wake() { eventfd_write(wake_.get(), 1); }

void ConnectionCutter::Set(Passage passage) {
  {
    const std::lock_guard lock(mutex_);
    passage_ = passage;
  }
  Wake();
}

void ConnectionCutter::Cut() {
  {
    const std::lock_guard lock(mutex_);
    cut_ = true;
  }
  Wake();
}

void ConnectionCutter::CutAt(std::string sql, Moment moment, Passage afterwards) {
  const std::lock_guard lock(mutex_);
  trap_ = Trap{std::move(sql), moment, afterwards};
}

bool ConnectionCutter::WaitForCutAt(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return sprung_.wait_for(lock, timeout, [this] { return !trap_; });
}

void ConnectionCutter::Run() {
  Connections connections;
  for (;;) {
    std::vector<pollfd> waits = {{wake_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    {
      const std::lock_guard lock(mutex_);
      if (ended_) return;
      if (std::exchange(cut_, false) || passage_ == Passage::kRefused) connections.Cut();
      if (passage_ == Passage::kHeld) {
        waits[1].fd = -1;  // new clients wait in the backlog
      } else {
        connections.AppendTo(waits);
      }
    }
    if (poll(waits.data(), waits.size(), -1) < 0) continue;
    eventfd_t ignored = 0;
    if (waits[0].revents) eventfd_read(wake_.get(), &ignored);

    const std::lock_guard lock(mutex_);
    if (cut_ || passage_ == Passage::kHeld) continue;  // the state has changed in the meantime
    if (passage_ == Passage::kOpen && waits.size() > 2 && connections.Move(&waits[2], trap_)) {
      passage_ = trap_->afterwards;
      trap_.reset();
      sprung_.notify_all();
    }
    if (!waits[1].revents || passage_ == Passage::kHeld) continue;
    UniqueFd client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (passage_ == Passage::kRefused) {
      Reset(client);
    } else {
      connections.Add(std::move(client), server_port_);
    }
  }
}

}  // namespace dicom_sender
