// Names a destination by its address, so that the limits count an archive once, however its host name is spelled.
//
// Waits at most two seconds for a lookup, because a resolver may take much longer. Caches the results, including
// failures, for a few minutes. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/time.h"

namespace dicom_sender {

// Returns a name such as "192.0.2.7:104". An empty function disables lookups.
using NameEndpoint = std::function<std::string(const std::string& host, std::uint32_t port)>;

class EndpointNames {
 public:
  // Returns the numeric addresses of a host, or nullopt if the lookup failed.
  using LookUp = std::function<std::optional<std::vector<std::string>>(const std::string& host)>;

  explicit EndpointNames(LookUp look_up) : look_up_(std::move(look_up)) {}

  // Returns the lowest of the host's IPv4 addresses, or else of its IPv6 addresses, with the port. The loopback
  // address is always 127.0.0.1. If the lookup failed, the host name in lower case replaces the address.
  std::string Name(const std::string& host, std::uint32_t port, TimePoint now);

 private:
  struct Known {
    std::string address;
    TimePoint until;
  };

  LookUp look_up_;
  std::map<std::string, Known> known_;
};

// Uses the system's resolver.
std::optional<std::vector<std::string>> LookUpHost(const std::string& host);

}  // namespace dicom_sender
