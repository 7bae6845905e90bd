#include "worker/sending/payload.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "common/text.h"
#include "dicom/transcode/padding.h"
#include "dicom/transcode/transcoder.h"
#include "dicom/transfer_syntax.h"
#include "worker/sending/sending_meters.h"

namespace dicom_sender {
namespace {

// Decodes the dataset. If its transfer syntax is accepted, only gives its values even lengths instead.
tl::expected<TranscodedDataset, std::string> Encode(const Opened& opened, const ContextChoice& choice,
                                                    unsigned thread) {
  const SourceFile& source = *opened.source;
  if (!choice.decode) {
    spdlog::info("Thread {}: padding values of odd length in {}", thread, ToPrintable(opened.path));
    return PadToEvenLengths(source.fd.get(), source.dataset_offset, source.dataset_bytes, source.transfer_syntax_uid);
  }
  auto decoded = Transcode(opened.path, choice.transfer_syntax);
  if (decoded) return decoded;
  return tl::unexpected(
      fmt::format("the destination does not accept transfer syntax {}, and it cannot be decoded: {}",
                  source.transfer_syntax_uid, decoded.error()));
}

// Encodes the dataset anew into an unnamed file.
tl::expected<Payload, CannotSend> EncodedPayload(const Opened& opened, ContextChoice choice,
                                                 const PayloadContext& context) {
  const TimeSpent spent(context.metrics.decode_seconds);
  auto encoded = Encode(opened, choice, context.thread);
  if (!encoded) {
    // Check the file again, because the storage may have become unavailable in between.
    if (const auto again = OpenSourceFile(opened.path, *opened.instance); !again) {
      return tl::unexpected(Unreadable(again.error()));
    }
    return tl::unexpected(CannotSend{.reason = std::move(encoded.error())});
  }
  Payload payload{.choice = std::move(choice), .encoded = std::move(encoded->fd), .bytes = {}};
  payload.bytes = {.fd = payload.encoded.get(), .offset_bytes = 0, .size_bytes = encoded->size_bytes};
  return payload;
}

}  // namespace

CannotSend Unreadable(const SourceProblem& problem) {
  return {wire::Outcome::UNREADABLE, problem.reason, problem.storage_away};
}

tl::expected<Payload, CannotSend> PreparePayload(const Opened& opened, const PayloadContext& context) {
  const SourceFile& source = *opened.source;
  auto choice = ChooseContext(context.proposed, context.association.contexts(), opened.instance->sop_class_uid(),
                              source.transfer_syntax_uid, CanDecode);
  if (!choice) return tl::unexpected(CannotSend{.reason = std::move(choice.error())});
  const bool is_deflated = IsDeflatedSyntax(source.transfer_syntax_uid);
  const bool has_odd_length = source.dataset_bytes % 2 == 1 && !is_deflated;
  if (choice->decode || has_odd_length) {
    context.association.Flush();  // encoding may take long
    return EncodedPayload(opened, *std::move(choice), context);
  }
  return Payload{.choice = *std::move(choice),
                 .encoded = {},
                 .bytes = {.fd = source.fd.get(),
                           .offset_bytes = source.dataset_offset,
                           .size_bytes = source.dataset_bytes,
                           .pad_to_even = is_deflated}};
}

}  // namespace dicom_sender
