#include "worker/sending/outcomes.h"

#include <algorithm>

#include "proto/validate.h"

namespace dicom_sender {
namespace {

std::uint32_t Microseconds(Duration duration) {
  const auto count = std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
  return static_cast<std::uint32_t>(std::min<std::int64_t>(count, UINT32_MAX));
}

}  // namespace

wire::Outcome OutcomeOf(const wire::Instance& instance, wire::Outcome::Kind kind, const std::string& reason,
                        Duration duration) {
  wire::Outcome outcome;
  outcome.set_index(instance.index());
  outcome.set_kind(kind);
  outcome.set_reason(LimitedReason(reason));
  outcome.set_duration_us(Microseconds(duration));
  return outcome;
}

wire::Outcome::Kind LossKind(bool alone) {
  return alone ? wire::Outcome::ASSOCIATION_LOST : wire::Outcome::UNANSWERED;
}

}  // namespace dicom_sender
