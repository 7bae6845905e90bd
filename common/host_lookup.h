// Looks up the addresses of a host with the system's resolver, without blocking the caller.
//
// getaddrinfo() cannot be interrupted, and a name server that does not answer blocks it for as long as resolv.conf
// says. So each lookup runs in its own thread, and a caller that has waited long enough abandons it. A second lookup
// of the same name joins the first, so a resolver that hangs costs one thread per name. An answer that arrives after
// all callers have given up is kept for the next lookup of this name, so a slow resolver still works. Numeric
// addresses need no thread and are available at once. Thread-safe.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
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
  std::string failure;                 // the reason if `addresses` is empty
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
  bool WaitFor(std::chrono::nanoseconds timeout) const;  // returns done()
  const HostAddresses& result() const;                   // valid only if done()

 private:
  struct Shared;
  struct Registry;
  static Registry& Lookups();

  void Start(const std::string& host, Resolver resolver);

  std::optional<HostAddresses> immediate_;  // a numeric address, or a failure to start the lookup
  std::shared_ptr<Shared> shared_;          // null if there is an immediate result
};

}  // namespace dicom_sender
