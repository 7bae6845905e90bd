// Names a destination by what is reached there, so that limits count one archive once, however its host is spelled.
//
// Waits for a lookup for two seconds at most, because a resolver may take much longer. What it found, and that it
// found nothing, is remembered for some minutes. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/time.h"

namespace dicom_sender {

// "192.0.2.7:104"; or nothing, where no name is to be looked up.
using NameEndpoint = std::function<std::string(const std::string& host, std::uint32_t port)>;

class EndpointNames {
 public:
  // The numeric addresses of a host; nullopt: it could not be found out.
  using LookUp = std::function<std::optional<std::vector<std::string>>(const std::string& host)>;

  explicit EndpointNames(LookUp look_up) : look_up_(std::move(look_up)) {}

  // The lowest of its IPv4 addresses, or else of its IPv6 addresses, with the port; this machine is 127.0.0.1. The
  // host as it is spelled, in lower case, where it has no known address.
  std::string Name(const std::string& host, std::uint32_t port, TimePoint now);

 private:
  struct Known {
    std::string address;
    TimePoint until;
  };

  LookUp look_up_;
  std::map<std::string, Known> known_;
};

// By the system's resolver.
std::optional<std::vector<std::string>> LookUpHost(const std::string& host);

}  // namespace dicom_sender
