#include "session/connection_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace dicom_sender {
namespace {

Checked AddEndpoint(Endpoints& endpoints, std::string_view text) {
  auto endpoint = ParseEndpoint(text);
  if (!endpoint) return tl::unexpected(std::move(endpoint.error()));
  if (std::find(endpoints.begin(), endpoints.end(), *endpoint) != endpoints.end()) {
    return tl::unexpected(fmt::format("'{}' is given twice: give each coordinator once", *endpoint));
  }
  if (endpoints.size() == kEndpointsMax) {
    return tl::unexpected(fmt::format("more than {} coordinators: give fewer", kEndpointsMax));
  }
  endpoints.push_back(*std::move(endpoint));
  return {};
}

// Accepts one or several endpoints, separated by commas.
OptionSetter AddEndpoints(Endpoints& endpoints) {
  return [&endpoints](const std::string& text) -> Checked {
    for (std::size_t begin = 0; begin <= text.size();) {
      const std::size_t end = std::min(text.find(',', begin), text.size());
      if (auto added = AddEndpoint(endpoints, std::string_view(text).substr(begin, end - begin)); !added) {
        return added;
      }
      begin = end + 1;
    }
    return {};
  };
}

}  // namespace

OptionGroup ConnectionGroup(ConnectionOptions& options) {
  return {
      "Coordinator",
      {{0, "coordinator", "ENDPOINT",
        "where the coordinator listens (default: tcp://127.0.0.1:5555); with standby coordinators, name all of them, "
        "separated by commas or by repeating the option; the leader is found",
        AddEndpoints(options.given), /*repeatable=*/true, kNoSeparator},
       {0, "server-key", "FILE", "the coordinator's public key; needs --client-key", SetText(options.server_key)},
       {0, "client-key", "FILE", "our secret key, made by 'dicom-ctl keygen'; needs --server-key",
        SetText(options.client_key)}}};
}

std::string ConnectionOptions::text() const { return fmt::format("{}", fmt::join(coordinators(), ",")); }

tl::expected<std::optional<ClientSecurity>, std::string> ReadSecurity(const ConnectionOptions& options) {
  if (!options.server_key && !options.client_key) return std::nullopt;
  if (!options.server_key || !options.client_key) {
    return tl::unexpected(std::string("--server-key and --client-key belong together: give both or none"));
  }
  auto security = ReadClientSecurity(*options.server_key, *options.client_key);
  if (!security) return tl::unexpected(std::move(security.error()));
  return *std::move(security);
}

}  // namespace dicom_sender
