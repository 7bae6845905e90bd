#include "worker/loop/outcome_log.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "common/log.h"
#include "dicom/dimse_status.h"

namespace dicom_sender {
namespace {

InstanceResult ResultOf(const wire::Outcome& outcome) {
  if (outcome.kind() == wire::Outcome::NOT_SENDABLE) return InstanceResult::kFailed;
  if (outcome.kind() != wire::Outcome::RESPONDED) return InstanceResult::kDelayed;
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

InstanceView ViewOf(unsigned thread, const std::string& path, const wire::Outcome& outcome) {
  return {.thread = thread,
          .path = path,
          .result = ResultOf(outcome),
          .detail = DetailOf(outcome),
          .duration = std::chrono::microseconds(outcome.duration_us())};
}

void OutcomeLog::OnOutcome(unsigned thread, const SentInstance& instance, const wire::Outcome& outcome) {
  const InstanceView view = ViewOf(thread, instance.path, outcome);
  const bool stored = view.result == InstanceResult::kStored;
  if (!verbose_ && stored) return;
  const ScopedLogFields fields(
      {.sop_instance = instance.sop_instance_uid,
       .status = outcome.kind() == wire::Outcome::RESPONDED ? fmt::format("{:04X}", outcome.status()) : std::string(),
       .path = instance.path});
  std::string line = RenderInstance(view, TerminalStyle{});
  line.pop_back();
  spdlog::log(stored ? spdlog::level::info : spdlog::level::warn, "{}", line);
}

}  // namespace dicom_sender
