// From bytes to messages that keep the limits of channel.h. What passes here can be used without further checks of
// its size; that keys and states make sense is for the receiver to judge.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "envelope.pb.h"

namespace dicom_sender {

// Why a message is not used: one sentence, and whether the versions differ.
struct BadMessage {
  std::string reason;
  bool other_version = false;
};
tl::expected<wire::ToCoordinator, BadMessage> ParseToCoordinator(std::string_view bytes);
tl::expected<wire::FromCoordinator, BadMessage> ParseFromCoordinator(std::string_view bytes);

// The size of all files; not more than kTotalBytesMax if the batch was parsed by ParseToCoordinator.
std::uint64_t BytesOf(const wire::PublishBatch& batch);

// The envelope around a message.
wire::ToCoordinator Envelope(wire::ClientRequest request);
wire::ToCoordinator Envelope(wire::WorkerMessage message);
wire::FromCoordinator Envelope(wire::ClientReply reply);
wire::FromCoordinator Envelope(wire::CoordinatorMessage message);
wire::FromCoordinator Envelope(wire::Refusal refusal);
wire::FromCoordinator Envelope(wire::NotLeading not_leading);

// The first kReasonBytesMax bytes, not cut inside a UTF-8 character.
std::string LimitedReason(std::string_view reason);

}  // namespace dicom_sender
