// Ports and a breakable connection on the loopback interface, for tests only.
#pragma once

#include <netinet/in.h>

#include <atomic>
#include <cstdint>
#include <thread>

#include "common/unique_fd.h"

namespace dicom_sender {

// 127.0.0.1.
sockaddr_in Loopback(std::uint16_t port);

// A TCP port of 127.0.0.1 that no other ReservedPort on this machine uses while this object lives, so that a program
// can stop and listen there again. It is below the range that the system uses for outgoing connections. Throws
// std::runtime_error if no port is left.
class ReservedPort {
 public:
  ReservedPort();
  std::uint16_t number() const { return number_; }

 private:
  bool Take(std::uint16_t number);

  std::uint16_t number_ = 0;
  UniqueFd claim_;
};

// A proxy between clients and a server on 127.0.0.1 that can be blocked. As with a pulled cable, connections then
// stay open, and data in transit arrives when it is unblocked. Thread-safe. Throws std::system_error if it cannot
// listen.
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
  std::thread thread_;  // declared last: the thread uses the other members
};

}  // namespace dicom_sender
