// Ports and a breakable connection on the loopback interface, for tests. Nothing here is for the product.
#pragma once

#include <netinet/in.h>

#include <atomic>
#include <cstdint>
#include <thread>

#include "common/unique_fd.h"

namespace dicom_sender {

// 127.0.0.1.
sockaddr_in Loopback(std::uint16_t port);

// A TCP port of 127.0.0.1 that no other ReservedPort on this machine has while this object lives, so that a program
// may end and listen there again. It is below the ports that the system chooses by itself for outgoing connections.
// Throws std::runtime_error if there is none left.
class ReservedPort {
 public:
  ReservedPort();
  std::uint16_t number() const { return number_; }

 private:
  bool Take(std::uint16_t number);

  std::uint16_t number_ = 0;
  UniqueFd claim_;
};

// Stands between clients and a server, both on 127.0.0.1, until it is told to let nothing through any more.
// Connections stay open then, as they do where a cable is cut, and what was on its way arrives when it is mended.
// Thread-safe. Throws std::system_error if it cannot listen.
class TcpProxy {
 public:
  TcpProxy(std::uint16_t listen_port, std::uint16_t server_port);
  ~TcpProxy();
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  void Block() { SetBlocked(true); }
  void Unblock() { SetBlocked(false); }

 private:
  class Connections;
  void SetBlocked(bool blocked);
  void Run();

  const std::uint16_t server_port_;
  UniqueFd listener_, wake_;
  std::atomic<bool> blocked_ = false, ended_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace dicom_sender
