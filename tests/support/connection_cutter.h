// A breakable connection to PostgreSQL, for tests. Nothing here is for the product.
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

// Stands between clients and a server on 127.0.0.1 and understands where a message of PostgreSQL's protocol begins
// and ends (version 3, without encryption). It passes whole messages on. A cut is a reset (RST) to both sides.
// Thread-safe.
class ConnectionCutter {
 public:
  enum class Passage {
    kOpen,
    kHeld,     // nothing passes, and connections stay open: as with a cable that was pulled
    kRefused,  // connections are cut, and so are new ones
  };
  // Where a statement is when its connection is cut.
  enum class Moment {
    kBefore,      // the server does not see it
    kSwallowed,   // nor does it see that the client's side was cut: its own stays open and is silent
    kUnanswered,  // the server has done it, the client does not hear of it
    kAnswered,    // the client has been sent its answer
  };

  // Throws std::system_error if it cannot listen.
  explicit ConnectionCutter(std::uint16_t server_port);
  ~ConnectionCutter();
  ConnectionCutter(const ConnectionCutter&) = delete;
  ConnectionCutter& operator=(const ConnectionCutter&) = delete;

  std::uint16_t port() const { return port_.number(); }

  void Set(Passage passage);
  // Those that are there now.
  void Cut();
  // Once, the connection on which the next statement passes that begins with `sql`, whether it was sent as text or
  // prepared before. `afterwards` holds from the same moment on.
  void CutAt(std::string sql, Moment moment, Passage afterwards = Passage::kOpen);
  // False: what CutAt waits for has not come within `timeout`.
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

  std::mutex mutex_;  // of what follows
  std::condition_variable sprung_;
  Passage passage_ = Passage::kOpen;
  std::optional<Trap> trap_;
  bool cut_ = false, ended_ = false;

  std::thread thread_;  // last: it uses the others
};

}  // namespace dicom_sender
