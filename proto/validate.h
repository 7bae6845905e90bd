// From bytes to messages that keep the limits of channel.h. What passes here can be used without further checks of
// its size; that keys and states make sense is for the receiver to judge.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "client.pb.h"
#include "worker.pb.h"

namespace dicom_sender {

// The error is one sentence.
tl::expected<wire::ClientRequest, std::string> ParseClientRequest(std::string_view bytes);
tl::expected<wire::ClientReply, std::string> ParseClientReply(std::string_view bytes);
tl::expected<wire::WorkerMessage, std::string> ParseWorkerMessage(std::string_view bytes);
tl::expected<wire::CoordinatorMessage, std::string> ParseCoordinatorMessage(std::string_view bytes);

// The first kReasonBytesMax bytes, not cut inside a UTF-8 character.
std::string LimitedReason(std::string_view reason);

}  // namespace dicom_sender
