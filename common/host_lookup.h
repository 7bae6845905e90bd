// Looks up the addresses of a host by the system's resolver, without having to wait for it.
//
// getaddrinfo() cannot be interrupted, and a name server that does not answer holds it up as long as resolv.conf
// says. So each lookup runs in a thread of its own, and a caller that has waited long enough leaves it behind. A
// lookup of a name that is being looked up already joins it, so a resolver that hangs costs one thread for each name.
// An answer that comes when nobody waits any more is kept for the next lookup of this name: a slow resolver is still
// of use. Numeric addresses need no thread and are there at once. Thread-safe.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace dicom_sender {

struct HostAddress {
  sockaddr_storage address{};  // without a port
  socklen_t size = 0;

  HostAddress WithPort(std::uint16_t port) const;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};

struct HostAddresses {
  std::vector<HostAddress> addresses;  // in the order in which they should be tried
  std::string failure;                 // why there is none
};

class HostLookup {
 public:
  using Resolver = std::function<HostAddresses(const std::string& host)>;
  static HostAddresses AskSystem(const std::string& host);

  explicit HostLookup(const std::string& host, Resolver resolver = AskSystem);
  ~HostLookup();  // does not wait
  HostLookup(const HostLookup&) = delete;
  HostLookup& operator=(const HostLookup&) = delete;

  int fd() const;  // readable when the lookup is done
  bool done() const;
  bool WaitFor(std::chrono::nanoseconds timeout) const;  // whether it is done
  const HostAddresses& result() const;                   // once it is done

 private:
  struct Shared;
  struct Registry;
  static Registry& Lookups();

  std::shared_ptr<Shared> shared_;
};

}  // namespace dicom_sender
