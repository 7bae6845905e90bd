#include "programs/ctl/tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "cli/table.h"
#include "common/text.h"
#include "proto/words.h"
#include "session/session_settings.h"
#include "session/session_view.h"

namespace dicom_sender {
namespace {

constexpr const char* kFailureRow = "{:<6}  {:<8}  {:<16}  {}: {}\n";

// "-" while the rate is unknown.
std::string RateText(const wire::SessionList::Entry& entry) {
  if (!entry.has_instances_per_second()) return "-";
  return fmt::format("{:.1f}/s, {}/s", entry.instances_per_second(),
                     FormatBytes(static_cast<std::uint64_t>(std::max(0.0, entry.bytes_per_second()))));
}
std::string LeftText(const wire::SessionList::Entry& entry) {
  if (!entry.has_seconds_left()) return "-";
  return FormatDuration(std::chrono::seconds(entry.seconds_left()));
}

// Why the worker does not get every study; empty if it does.
std::string TroubleOf(const wire::WorkerList::Entry& worker) {
  std::vector<std::string> troubles;
  if (!worker.not_ready().empty()) troubles.push_back(ToPrintable(worker.not_ready()));
  for (const auto& quarantined : worker.quarantined()) {
    troubles.push_back(ToPrintable(quarantined.what()) + ": " + ToPrintable(quarantined.reason()));
  }
  return fmt::format("{}", fmt::join(troubles, "; "));
}

}  // namespace

std::string SessionsTable(const wire::SessionList& list) {
  Table table({"SESSION", "STATE", "DESTINATION", "STUDIES", "FILES", "STORED", "FAILED", "SKIPPED", "PENDING",
               "PERCENT", "RATE", "ETA", "STARTED"});
  for (const auto& entry : list.sessions()) {
    const wire::SessionStatus& status = entry.status();
    table.Add({status.session(), StateText(status), DestinationText(status.destination()),
               std::to_string(status.studies()), std::to_string(status.total()), std::to_string(status.stored()),
               std::to_string(status.failed()), std::to_string(status.skipped()), std::to_string(status.pending()),
               PercentText(status), RateText(entry), LeftText(entry), ClockText(entry.start_ms())});
  }
  return table.Text();
}

std::string SessionText(const wire::SessionReport& shown) {
  const wire::SessionStatus& status = shown.status();
  std::string text;
  const auto line = [&text](const char* name, const std::string& value) {
    text += fmt::format("{:<13}{}\n", name, ToPrintable(value));
  };
  line("Session", status.session());
  line("State", StateText(status));
  if (!status.end_reason().empty()) line("Reason", status.end_reason());
  if (!status.waits_for().empty()) line("Waits for", status.waits_for());
  line("Destination", DestinationText(status.destination()));
  line("Calling AE", status.destination().calling_ae());
  for (const std::string& input : status.inputs()) line("Input", input);
  for (const std::string& indexer : shown.scanning()) line("Scanning", indexer);
  line("Started", ClockText(shown.start_ms()));
  if (HasEnded(status.state())) line("Ended", ClockText(shown.end_ms()));
  line("Studies", fmt::format("{}, {} being sent", status.studies(), status.leases()));
  line("Files", fmt::format("{}, {}", status.total(), FormatBytes(status.total_bytes())));
  line("Stored", fmt::format("{}, {}, {} with a warning", status.stored(), FormatBytes(status.stored_bytes()),
                             status.warnings()));
  line("Failed", std::to_string(status.failed()));
  line("Skipped", std::to_string(status.skipped()));
  line("Conflicts", std::to_string(status.conflicts()));
  line("Not read", fmt::format("{} files, {} folders", status.not_read_files(), status.not_read_folders()));
  line("Pending", std::to_string(status.pending()));
  line("Retries", fmt::format("{}, {} resends", shown.retries(), shown.resends()));
  line("Workers",
       fmt::format("{} with {} threads, {} associations", shown.workers(), shown.threads(), shown.associations()));
  for (const auto& ignored : status.ignored()) {
    line("Ignored", fmt::format("{} {}", ignored.files(), ignored.reason()));
  }
  for (const auto& reason : shown.failure_reasons()) {
    line("Failure", fmt::format("{} times: {}", reason.instances(), reason.reason()));
  }
  if (!shown.summary_file().empty()) line("Summary", shown.summary_file());
  return text;
}

std::string WorkersTable(const wire::WorkerList& list) {
  Table table({"WORKER", "STATE", "ASSOCIATIONS", "STUDIES", "LAST SEEN", "TROUBLE"});
  for (const auto& worker : list.workers()) {
    table.Add({worker.worker(), worker.state(), std::to_string(worker.capacity()), std::to_string(worker.leases()),
               fmt::format("{:.1f} s ago", static_cast<double>(worker.last_seen_ms()) / 1000), TroubleOf(worker)});
  }
  return table.Text();
}

std::string DestinationsTable(const wire::DestinationList& list) {
  Table table({"DESTINATION", "STATE", "STUDIES", "WAITING", "LIMIT", "WAITS FOR"});
  for (const auto& destination : list.destinations()) {
    table.Add({destination.destination(), destination.state(), std::to_string(destination.leases()),
               std::to_string(destination.ready()),
               destination.has_limit() ? std::to_string(destination.limit()) : "", destination.trouble()});
  }
  return table.Text();
}

std::string FailuresHeading() { return fmt::format(kFailureRow, "STATUS", "ATTEMPTS", "WORKER", "PATH", "REASON"); }

std::string FailureLine(const wire::FailureList::Entry& failure) {
  const std::string status = failure.has_status() ? DimseStatusText(failure.status()) : "-";
  const std::string worker = failure.has_worker() ? ToPrintable(failure.worker()) : "-";
  return fmt::format(kFailureRow, status, failure.attempts(), worker, ToPrintable(failure.path()),
                     ToPrintable(ReasonOf(failure)));
}

std::string NothingRequeued(const CtlOptions& options) {
  std::string conditions;
  const auto add = [&conditions](const char* option, const std::string& value) {
    conditions += fmt::format(" --{} '{}'", option, ToPrintable(value));
  };
  if (options.status) add("status", fmt::format("{:04X}", *options.status));
  if (options.study) add("study", *options.study);
  if (options.reason) add("reason", *options.reason);
  if (options.worker) add("worker", *options.worker);
  if (conditions.empty()) {
    return fmt::format("Nothing requeued: session {} has no failed instance that can be sent again\n",
                       options.subject);
  }
  return fmt::format(
      "Nothing requeued: no failed instance of session {} matches{}; 'dicom-ctl failures {}' lists what failed\n",
      options.subject, conditions, options.subject);
}

}  // namespace dicom_sender
