// How the coordinator is reached, for every program that speaks to it.
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
  std::optional<std::string> server_key, client_key;  // files; both or none

  Endpoints coordinators() const { return given.empty() ? Endpoints{"tcp://127.0.0.1:5555"} : given; }
  std::string text() const;  // as it may be given again, and for people
};

OptionGroup ConnectionGroup(ConnectionOptions& options);

// Nothing, if no keys were asked for. The error names the option or the file.
tl::expected<std::optional<ClientSecurity>, std::string> ReadSecurity(const ConnectionOptions& options);

}  // namespace dicom_sender
