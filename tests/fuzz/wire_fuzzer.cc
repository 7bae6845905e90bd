// External bytes as each of the two envelopes must be refused with a reason or be within the limits.
#include <cstdlib>

#include "proto/validate.h"
#include "transport/channel.h"

using namespace dicom_sender;

namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

template <class Message>
void Check(const tl::expected<Message, BadMessage>& parsed) {
  Require(parsed.has_value() || !parsed.error().reason.empty());
  if (parsed) Require(parsed->ByteSizeLong() <= 2 * kMessageBytesMax);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  Check(ParseFromCoordinator(bytes));
  const auto to_coordinator = ParseToCoordinator(bytes);
  Check(to_coordinator);
  if (to_coordinator) Require(to_coordinator->worker().report().outcomes_size() <= kReportOutcomesMax);
  Require(LimitedReason(bytes).size() <= kReasonBytesMax);
  return 0;
}
