// A breakable connection to PostgreSQL, for tests only.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "common/unique_fd.h"
#include "tests/support/network.h"

namespace dicom_sender {

// A proxy between clients and a server on 127.0.0.1. It parses the messages of PostgreSQL's protocol (version 3,
// without encryption) and forwards only complete messages. A cut is a reset (RST) on both sides. Thread-safe.
class ConnectionCutter {
 public:
  enum class Passage {
    kOpen,
    kHeld,     // forwards nothing but keeps connections open, like a pulled cable
    kRefused,  // cuts existing and new connections
  };
  // How far a statement has come when its connection is cut.
  enum class Moment {
    kBefore,      // the server does not see it
    kSwallowed,   // the server sees neither the statement nor the cut: its side stays open and silent
    kUnanswered,  // the server has executed it, but the client gets no answer
    kAnswered,    // the client has been sent the answer
  };

  // Throws std::system_error if it cannot listen.
  explicit ConnectionCutter(std::uint16_t server_port);
  ~ConnectionCutter();
  ConnectionCutter(const ConnectionCutter&) = delete;
  ConnectionCutter& operator=(const ConnectionCutter&) = delete;

  std::uint16_t port() const { return port_.number(); }

  void Set(Passage passage);
  // Cuts the existing connections.
  void Cut();
  // Cuts, once, the connection with the next statement that begins with `sql`, whether it is sent as text or was
  // prepared before. `afterwards` applies from that moment on.
  void CutAt(std::string sql, Moment moment, Passage afterwards = Passage::kOpen);
  // Returns false if that has not happened within `timeout`.
  bool WaitForCutAt(std::chrono::milliseconds timeout);

 private:
  struct Trap {
    std::string sql;
    Moment moment = Moment::kBefore;
    Passage afterwards = Passage::kOpen;
  };
  class Connection;
  class Connections;
  void Wake();
  void Run();

  const std::uint16_t server_port_;
  ReservedPort port_;
  UniqueFd listener_, wake_;

  std::mutex mutex_;  // guards the members below
  std::condition_variable sprung_;
  Passage passage_ = Passage::kOpen;
  std::optional<Trap> trap_;
  bool cut_ = false, ended_ = false;

  std::thread thread_;  // declared last: the thread uses the other members
};

}  // namespace dicom_sender
