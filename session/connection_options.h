// The options for connecting to the coordinator, shared by all of its clients.
#pragma once

#include <optional>
#include <string>
#include <tl/expected.hpp>

#include "cli/program_options.h"
#include "transport/channel.h"
#include "transport/security.h"

namespace dicom_sender {

struct ConnectionOptions {
  Endpoints given;                                    // at most kEndpointsMax
  std::optional<std::string> server_key, client_key;  // file names; both or neither

  Endpoints coordinators() const { return given.empty() ? Endpoints{"tcp://127.0.0.1:5555"} : given; }
  std::string text() const;  // in the form of the option's value, for commands and messages
};

OptionGroup ConnectionGroup(ConnectionOptions& options);

// Returns nullopt if no keys were given. The error names the option or the file.
tl::expected<std::optional<ClientSecurity>, std::string> ReadSecurity(const ConnectionOptions& options);

}  // namespace dicom_sender
