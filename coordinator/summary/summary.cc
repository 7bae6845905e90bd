#include "coordinator/summary/summary.h"

#include <algorithm>
#include <utility>

#include "common/rate.h"

namespace dicom_sender {
namespace {

std::uint64_t CountIgnored(const SessionRecord& session, std::string_view reason) {
  const auto files = session.ignored.find(std::string(reason));
  return files == session.ignored.end() ? 0 : files->second;
}

}  // namespace

bool HasAllArrived(const SessionRecord& session) {
  return session.counts.failed + session.counts.conflicts == 0 && CountIgnored(session, kUnreadableFile) == 0 &&
         CountIgnored(session, kUnreadableFolder) == 0;
}

SessionSummary Summarize(LedgerReader& ledger, SessionRecord session, WallTime now) {
  SessionSummary summary;
  summary.session = std::move(session);
  const Counts& counts = summary.session.counts;
  summary.end_time = summary.session.end_time.value_or(now);
  summary.elapsed = summary.session.worked;
  if (summary.session.run_start) summary.elapsed += Between(*summary.session.run_start, now);
  if (counts.successful() > 0) {
    summary.average_transfer = Duration(std::chrono::microseconds(counts.store_us)) / counts.successful();
  }
  summary.mib_per_second = MibPerSecond(counts.stored_bytes, summary.elapsed);
  summary.workers = ledger.Workers(summary.session.key);
  summary.threads_used = static_cast<unsigned>(summary.workers.threads);
  summary.not_read_files = CountIgnored(summary.session, kUnreadableFile);
  summary.not_read_folders = CountIgnored(summary.session, kUnreadableFolder);
  for (const auto& [reason, files] : summary.session.ignored) summary.ignored += IsUnreadable(reason) ? 0 : files;
  return summary;
}

std::uint64_t WholeMilliseconds(Duration duration) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

Duration Between(WallTime from, WallTime to) { return std::max(Duration(to - from), Duration(0)); }

wire::SessionStatus ToStatus(const SessionRecord& session) {
  wire::SessionStatus status;
  status.set_session(session.settings.session());
  status.set_state(session.state);
  status.set_end_reason(session.end_reason);
  *status.mutable_destination() = session.settings.destination();
  *status.mutable_inputs() = session.settings.inputs();
  status.set_recursive(session.settings.recursive());
  status.set_scan_complete(session.scan_complete);
  status.set_dispatch(session.settings.dispatch());
  status.set_studies(session.studies);
  status.set_total(session.counts.total);
  status.set_total_bytes(session.counts.total_bytes);
  status.set_stored(session.counts.successful());
  status.set_stored_bytes(session.counts.stored_bytes);
  status.set_warnings(session.counts.warned);
  status.set_failed(session.counts.failed);
  status.set_skipped(session.counts.skipped);
  status.set_pending(session.counts.unsettled());
  status.set_settled_bytes(session.counts.settled_bytes);
  status.set_conflicts(session.counts.conflicts);
  status.set_not_read_files(CountIgnored(session, kUnreadableFile));
  status.set_not_read_folders(CountIgnored(session, kUnreadableFolder));
  for (const auto& [reason, files] : session.ignored) {
    if (IsUnreadable(reason)) continue;
    auto* ignored = status.add_ignored();
    ignored->set_reason(reason);
    ignored->set_files(files);
  }
  return status;
}

wire::SessionReport ToReport(LedgerReader& ledger, const SessionSummary& summary, wire::SessionStatus status) {
  const Counts& counts = summary.session.counts;
  wire::SessionReport report;
  *report.mutable_status() = std::move(status);
  report.set_start_ms(summary.session.start_time.time_since_epoch().count());
  report.set_end_ms(summary.end_time.time_since_epoch().count());
  report.set_conflicts(counts.conflicts);
  report.set_retries(counts.retries);
  report.set_resends(counts.resends);
  report.set_associations(counts.associations);
  report.set_workers(summary.workers.workers);
  report.set_threads(summary.threads_used);
  report.set_store_us(counts.store_us);
  report.set_worked_ms(WholeMilliseconds(summary.elapsed));
  const FailureReasons reasons = ledger.CountFailureReasons(summary.session.key, kReportedReasonsMax);
  for (const ReasonCount& reason : reasons.most_frequent) {
    auto* entry = report.add_failure_reasons();
    entry->set_reason(reason.reason);
    entry->set_instances(reason.instances);
  }
  report.set_other_failure_reasons(reasons.distinct - reasons.most_frequent.size());
  return report;
}

}  // namespace dicom_sender
