// Builds the OpenSession message from options, for new and for resumed sessions. Pure.
#pragma once

#include <chrono>
#include <string>
#include <tl/expected.hpp>

#include "client.pb.h"
#include "session/session_options.h"

namespace dicom_sender {

wire::OpenSession NewSessionSettings(const SessionOptions& options, const std::string& session);

// `known`: the settings with which the session was opened. The input and the destination stay the same, but the
// options for sending may change. If the session has no destination, one must be given. `retry_failed`: also retry
// instances that failed. The error names the option that contradicts the session.
tl::expected<wire::OpenSession, std::string> ResumedSessionSettings(const SessionOptions& options, bool retry_failed,
                                                                    const wire::OpenSession& known);

}  // namespace dicom_sender
