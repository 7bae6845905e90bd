#include "sender/observer.h"

#include <spdlog/spdlog.h>

#include "dicom/dimse_status.h"

namespace dicom_sender {
namespace {

// As far as one attempt tells; whether there is another one is the coordinator's to decide.
InstanceResult ResultOf(const wire::Outcome& outcome) {
  if (outcome.kind() == wire::Outcome::NOT_SENDABLE) return InstanceResult::kFailed;
  if (outcome.kind() == wire::Outcome::ASSOCIATION_LOST) return InstanceResult::kDelayed;
  switch (JudgeStoreStatus(static_cast<std::uint16_t>(outcome.status()))) {
    case StatusVerdict::kStored:
      return InstanceResult::kStored;
    case StatusVerdict::kStoredWithWarning:
      return InstanceResult::kStoredWithWarning;
    case StatusVerdict::kRetry:
    case StatusVerdict::kRetrySlower:
      return InstanceResult::kDelayed;
    default:
      return InstanceResult::kFailed;
  }
}

std::string DetailOf(const wire::Outcome& outcome) {
  if (outcome.kind() != wire::Outcome::RESPONDED) return outcome.reason();
  if (outcome.status() == 0) return outcome.transcoded() ? "decoded" : "";
  const std::string status = DescribeStatus(static_cast<std::uint16_t>(outcome.status()));
  return outcome.reason().empty() ? status : status + ": " + outcome.reason();
}

}  // namespace

void OutcomeObserver::OnOutcome(unsigned thread, const std::string& path, const wire::Outcome& outcome) {
  const InstanceResult result = ResultOf(outcome);
  if (!verbose_ && result == InstanceResult::kStored) return;
  const InstanceView view{.thread = thread,
                          .path = path,
                          .result = result,
                          .detail = DetailOf(outcome),
                          .duration = std::chrono::microseconds(outcome.duration_us())};
  std::string line = RenderInstance(view, TerminalStyle{});
  line.pop_back();
  spdlog::log(result == InstanceResult::kStored ? spdlog::level::info : spdlog::level::warn, "{}", line);
  if (verbose_) console_.Print(RenderInstance(view, console_.style()));
}

}  // namespace dicom_sender
