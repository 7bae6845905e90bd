#include "client/connection_options.h"

namespace dicom_sender {

OptionGroup ConnectionGroup(ConnectionOptions& options) {
  return {"Coordinator",
          {{0, "coordinator", "ENDPOINT", "where it listens (default: tcp://127.0.0.1:5555)",
            SetEndpoint(options.coordinator)},
           {0, "server-key", "FILE", "its public key; needs --client-key", SetText(options.server_key)},
           {0, "client-key", "FILE", "our secret key, made by 'dicom-ctl keygen'; needs --server-key",
            SetText(options.client_key)}}};
}

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
