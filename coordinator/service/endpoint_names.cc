#include "coordinator/service/endpoint_names.h"

#include <fmt/format.h>
#include <netdb.h>

#include <algorithm>
#include <array>

#include "common/host_lookup.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::seconds kLookUpMax(2);
constexpr std::chrono::minutes kRememberFound(5), kRememberNothing(1);
constexpr std::size_t kKnownMax = 1000;

std::string Lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](char c) { return 'A' <= c && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

std::string Numeric(const HostAddress& address) {
  std::array<char, NI_MAXHOST> text{};
  if (getnameinfo(address.get(), address.size, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) != 0) return {};
  return text.data();
}

bool IsIpv4(const std::string& address) { return address.find(':') == std::string::npos; }

// Does not depend on the order in which the resolver returns the addresses.
std::string Representative(std::vector<std::string> addresses) {
  constexpr std::string_view kMapped = "::ffff:";
  for (std::string& address : addresses) {
    if (address.starts_with(kMapped)) address.erase(0, kMapped.size());
    if (address == "::1") address = "127.0.0.1";
  }
  return *std::ranges::min_element(addresses, {},
                                   [](const std::string& address) { return std::pair(!IsIpv4(address), address); });
}

}  // namespace

std::optional<std::vector<std::string>> LookUpHost(const std::string& host) {
  const HostLookup lookup(host);
  if (!lookup.WaitFor(kLookUpMax)) return std::nullopt;
  std::vector<std::string> addresses;
  for (const HostAddress& found : lookup.result().addresses) {
    if (std::string address = Numeric(found); !address.empty()) addresses.push_back(std::move(address));
  }
  return addresses.empty() ? std::nullopt : std::optional(std::move(addresses));
}

std::string EndpointNames::Name(const std::string& host, std::uint32_t port, TimePoint now) {
  auto known = known_.find(host);
  if (known == known_.end() || now >= known->second.until) {
    if (known_.size() >= kKnownMax) known_.clear();
    const auto addresses = look_up_(host);
    const Duration remember = addresses ? Duration(kRememberFound) : Duration(kRememberNothing);
    known = known_.insert_or_assign(host, Known{addresses ? Representative(*addresses) : Lower(host), now + remember})
                .first;
  }
  const std::string& address = known->second.address;
  return IsIpv4(address) ? fmt::format("{}:{}", address, port) : fmt::format("[{}]:{}", address, port);
}

}  // namespace dicom_sender
