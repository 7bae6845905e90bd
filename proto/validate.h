// Parses bytes into messages that keep the limits of proto/limits.h. Receivers need no further checks of sizes, but
// must check keys and states themselves.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "envelope.pb.h"

namespace dicom_sender {

// Why a message is refused: one sentence, and whether the protocol versions differ.
struct BadMessage {
  std::string reason;
  bool other_version = false;
};
tl::expected<wire::ToCoordinator, BadMessage> ParseToCoordinator(std::string_view bytes);
tl::expected<wire::FromCoordinator, BadMessage> ParseFromCoordinator(std::string_view bytes);

// The total size of all files; at most kTotalBytesMax if ParseToCoordinator has parsed the batch.
std::uint64_t BytesOf(const wire::PublishBatch& batch);

// Put a message into an envelope.
wire::ToCoordinator Envelope(wire::ClientRequest request);
wire::ToCoordinator Envelope(wire::WorkerMessage message);
wire::FromCoordinator Envelope(wire::ClientReply reply);
wire::FromCoordinator Envelope(wire::CoordinatorMessage message);
wire::FromCoordinator Envelope(wire::Refusal refusal);
wire::FromCoordinator Envelope(wire::NotLeading not_leading);

// Truncates to kReasonBytesMax bytes, but not inside a UTF-8 character.
std::string LimitedReason(std::string_view reason);

}  // namespace dicom_sender
