// From options to the OpenSession message, for a new session and for one that goes on. Pure.
#pragma once

#include <chrono>
#include <string>
#include <tl/expected.hpp>

#include "client.pb.h"
#include "sender/options.h"

namespace dicom_sender {

wire::OpenSession NewSessionSettings(const SenderOptions& options, const std::string& session);

// `known`: what the session was opened with. What it is about (input, destination, dispatch) stays; how it is sent
// may be given anew. The error says which option asks for another session.
tl::expected<wire::OpenSession, std::string> ResumedSessionSettings(const SenderOptions& options,
                                                                    const wire::OpenSession& known);

// "AE:port@host"; empty without a destination.
std::string DestinationText(const wire::Destination& destination);

}  // namespace dicom_sender
