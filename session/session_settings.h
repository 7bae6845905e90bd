// From options to the OpenSession message, for a new session and for one that goes on. Pure.
#pragma once

#include <chrono>
#include <string>
#include <tl/expected.hpp>

#include "client.pb.h"
#include "session/session_options.h"

namespace dicom_sender {

wire::OpenSession NewSessionSettings(const SessionOptions& options, const std::string& session);

// `known`: what the session was opened with. What it is about (input, destination) stays; how it is sent may be given
// anew; and so must the destination if the session has none. `retry_failed`: what failed before is tried again. The
// error says which option asks for another session.
tl::expected<wire::OpenSession, std::string> ResumedSessionSettings(const SessionOptions& options, bool retry_failed,
                                                                    const wire::OpenSession& known);

}  // namespace dicom_sender
