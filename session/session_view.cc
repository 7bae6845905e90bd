#include "session/session_view.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/exit_status.h"
#include "common/rate.h"
#include "proto/words.h"
#include "session/session_settings.h"

namespace dicom_sender {
namespace {

SessionEnd ToEnd(wire::SessionState state) {
  switch (state) {
    case wire::SESSION_COMPLETE:
      return SessionEnd::kComplete;
    case wire::SESSION_UNREACHABLE:
      return SessionEnd::kUnreachable;
    case wire::SESSION_REFUSED:
      return SessionEnd::kRefused;
    default:
      return SessionEnd::kInterrupted;
  }
}

}  // namespace

std::string StateText(const wire::SessionStatus& status) {
  const std::string name = SessionStateWord(status.state());
  return status.stopping() ? name + " (stopping)" : name;
}

std::string PercentText(const wire::SessionStatus& status) {
  const ProgressView view = ProgressOf(status, Duration::zero());
  if (!view.total_known || view.total() == 0) return "-";
  return fmt::format("{}%", view.stored * 100 / view.total());
}

std::string ClockText(std::int64_t ms) {
  const std::string text = FormatRfc3339(WallTime(std::chrono::milliseconds(ms)));
  return text.substr(0, text.find('.')) + "Z";
}

std::string DimseStatusText(std::uint32_t status) { return fmt::format("{:04X}", status); }

std::string_view ReasonOf(const wire::FailureList::Entry& failure) {
  std::string_view reason = failure.reason();
  const std::string status = failure.has_status() ? DimseStatusText(failure.status()) + " " : "";
  if (reason.starts_with(status)) reason.remove_prefix(status.size());
  return reason;
}

ProgressView ProgressOf(const wire::SessionStatus& status, Duration elapsed) {
  return {.elapsed = elapsed,
          .total_known = status.scan_complete(),
          .stored = status.stored(),
          .failed = status.failed(),
          .pending = status.pending(),
          .bytes_stored = status.stored_bytes(),
          .bytes_pending = status.total_bytes() - std::min(status.total_bytes(), status.settled_bytes()),
          .associations = static_cast<unsigned>(status.leases()),
          .note = status.trouble()};
}

SummaryView SummaryOf(const wire::SessionReport& report) {
  const wire::SessionStatus& status = report.status();
  SummaryView view;
  view.end = ToEnd(status.state());
  view.end_reason = status.end_reason();
  view.session = status.session();
  view.destination = DestinationText(status.destination());
  view.calling_ae = status.destination().calling_ae();
  view.total = status.total();
  view.successful = status.stored();
  view.failed = status.failed();
  view.skipped = status.skipped();
  view.conflicts = report.conflicts();
  view.not_read_files = status.not_read_files();
  view.not_read_folders = status.not_read_folders();
  view.pending = status.pending();
  view.warnings = status.warnings();
  for (const auto& files : status.ignored()) view.ignored += files.files();
  view.retries = report.retries();
  view.bytes = status.stored_bytes();
  view.elapsed = std::chrono::milliseconds(report.worked_ms());
  if (status.stored() > 0) view.average = Duration(std::chrono::microseconds(report.store_us())) / status.stored();
  view.mib_per_second = MibPerSecond(view.bytes, view.elapsed);
  view.threads = static_cast<unsigned>(report.threads());
  view.studies = status.studies();
  view.associations = report.associations();
  view.summary_file = report.summary_file();
  view.failures_file = report.failures_file();
  const int shown = std::min(report.failure_reasons_size(), static_cast<int>(kFailureReasonsMax));
  for (int i = 0; i < shown; ++i) {
    view.failure_reasons.push_back({report.failure_reasons(i).reason(), report.failure_reasons(i).instances()});
  }
  view.other_failure_reasons =
      report.other_failure_reasons() + static_cast<std::uint64_t>(report.failure_reasons_size() - shown);
  return view;
}

bool HasAllArrived(const wire::SessionStatus& status) {
  return status.failed() + status.conflicts() + status.not_read_files() + status.not_read_folders() == 0;
}

int ExitStatusOf(const wire::SessionStatus& status) {
  switch (status.state()) {
    case wire::SESSION_COMPLETE:
      return HasAllArrived(status) ? kExitAllStored : kExitSomeFailed;
    case wire::SESSION_UNREACHABLE:
    case wire::SESSION_REFUSED:
      return kExitDestination;
    default:
      return kExitInterrupted;
  }
}

}  // namespace dicom_sender
