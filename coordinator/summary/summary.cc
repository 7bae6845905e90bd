#include "coordinator/summary/summary.h"

#include <fmt/format.h>
#include <rapidjson/prettywriter.h>
#include <rapidjson/writer.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "common/text.h"
#include "coordinator/summary/atomic_file.h"

namespace dicom_sender {
namespace {

constexpr std::size_t kPage = 1000;  // studies or instances read at once
constexpr int kDecimals = 6;
constexpr std::array kWarnedStates = {InstanceState::kStoredWithWarning};
constexpr std::array kSkippedStates = {InstanceState::kSkipped, InstanceState::kConflict};
constexpr std::array kConflictStates = {InstanceState::kConflict};

double Milliseconds(Duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); }
std::uint64_t WholeMilliseconds(Duration duration) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

// The clock may have been set back in between.
Duration Between(WallTime from, WallTime to) { return std::max(Duration(to - from), Duration(0)); }

template <class Writer>
class Json {
 public:
  explicit Json(Writer& writer) : writer_(writer) {}

  template <class Value>
  void Field(const char* name, const Value& value) {
    writer_.Key(name);
    Write(value);
  }
  void Write(std::uint64_t value) { writer_.Uint64(value); }
  void Write(double value) { writer_.Double(value); }
  void Write(bool value) { writer_.Bool(value); }
  void Write(const char* text) { Write(std::string_view(text)); }
  void Write(std::string_view text) {
    const std::string valid = ToValidUtf8(text);
    writer_.String(valid.data(), static_cast<rapidjson::SizeType>(valid.size()));
  }
  void Write(WallTime time) { Write(FormatRfc3339(time)); }
  void Write(const ReportedInstance& instance) {
    writer_.StartObject();
    WriteFields(instance);
    writer_.EndObject();
  }
  void Write(const UnreadPath& unread) {
    writer_.StartObject();
    Field("path", unread.path);
    Field("is_folder", unread.is_folder);
    Field("reason", unread.reason);
    writer_.EndObject();
  }
  // As lines of the failures file.
  void WriteLine(const ReportedInstance& instance) {
    writer_.StartObject();
    WriteFields(instance);
    Field("kind", instance.state == InstanceState::kConflict ? "conflict" : "failed");
    writer_.EndObject();
  }
  void WriteLine(const UnreadPath& unread) {
    writer_.StartObject();
    ReportedInstance unknown;
    unknown.path = unread.path;
    unknown.reason = unread.reason;
    WriteFields(unknown);
    Field("kind", "not_read");
    writer_.EndObject();
  }

 private:
  void WriteFields(const ReportedInstance& instance) {
    Field("path", instance.path);
    Field("study_instance_uid", instance.study_instance_uid);
    Field("sop_instance_uid", instance.sop_instance_uid);
    writer_.Key("status");
    instance.status ? Write(fmt::format("{:04X}", *instance.status)) : void(writer_.Null());
    Field("reason", instance.reason);
    Field("attempts", std::uint64_t{instance.attempts});
    writer_.Key("worker");
    instance.worker.empty() ? void(writer_.Null()) : Write(instance.worker);
  }

  Writer& writer_;
};

std::uint64_t CountIgnored(const SessionRecord& session, std::string_view reason) {
  const auto files = session.ignored.find(std::string(reason));
  return files == session.ignored.end() ? 0 : files->second;
}

// Calls `use` for each study of the session in their order.
template <class Use>
void ForEachStudy(LedgerReader& ledger, SessionKey session, Progress& progress, Use use) {
  for (StudyKey last = 0;;) {
    const auto studies = ledger.Studies(session, last, kPage);
    progress.Note();
    if (studies.empty()) return;
    for (const StudyRecord& study : studies) use(study);
    last = studies.back().key;
  }
}

bool IsProcessed(const StudyRecord& study) {
  const Counts& counts = study.counts;
  return !study.uid.empty() && counts.successful() + counts.failed + counts.skipped > 0;
}

std::string EndReason(const SessionRecord& session) {
  if (!session.end_reason.empty()) return session.end_reason;
  switch (session.state) {
    case wire::SESSION_COMPLETE:
      return {};
    case wire::SESSION_SUSPENDED:
      return "stopped by request";
    default:
      return "stopped before its end";
  }
}

class SummaryDocument {
 public:
  SummaryDocument(AtomicFile& file, LedgerReader& ledger, const SessionSummary& summary, unsigned threads_used,
                  Progress& progress)
      : writer_(file),
        json_(writer_),
        ledger_(ledger),
        summary_(summary),
        threads_used_(threads_used),
        progress_(progress) {
    writer_.SetIndent(' ', 2);
    writer_.SetMaxDecimalPlaces(kDecimals);
  }

  void Write() {
    writer_.StartObject();
    WriteSession();
    WriteStudiesProcessed();
    WriteDetails();
    WriteStudies();
    WriteInstances("failures", kFailedStates);
    WriteInstances("warned", kWarnedStates);
    WriteInstances("skipped_files", kSkippedStates);
    WriteNotArrived();
    writer_.EndObject();
  }

 private:
  // Scripts read these, which come first and in this order.
  void WriteSession() {
    const SessionRecord& session = summary_.session;
    const wire::Destination& destination = session.settings.destination();
    json_.Field("session_id", session.settings.session());
    json_.Field("start_time", session.start_time);
    json_.Field("end_time", summary_.end_time);
    json_.Field("total_files", session.counts.total);
    json_.Field("successful_transfers", session.counts.successful());
    json_.Field("failed_transfers", session.counts.failed);
    json_.Field("total_bytes", session.counts.stored_bytes);
    json_.Field("total_time_ms", WholeMilliseconds(summary_.elapsed));
    json_.Field("average_transfer_time_ms", Milliseconds(summary_.average_transfer));
    json_.Field("throughput_mbps", summary_.mib_per_second);
    json_.Field("threads_used", std::uint64_t{threads_used_});
    json_.Field("destination",
                fmt::format("{}:{}@{}", destination.called_ae(), destination.port(), destination.host()));
    json_.Field("calling_ae", destination.calling_ae());
    json_.Field("called_ae", destination.called_ae());
  }

  void WriteStudiesProcessed() {
    writer_.Key("studies_processed");
    writer_.StartArray();
    ForEachStudy(ledger_, summary_.session.key, progress_, [this](const StudyRecord& study) {
      if (IsProcessed(study)) json_.Write(study.uid);
    });
    writer_.EndArray();
  }

  void WriteDetails() {
    const Counts& counts = summary_.session.counts;
    json_.Field("schema_version", std::uint64_t{kSummarySchemaVersion});
    json_.Field("warnings", counts.warned);
    json_.Field("skipped", counts.skipped);
    json_.Field("duplicates", counts.skipped - counts.conflicts);
    json_.Field("conflicts", counts.conflicts);
    json_.Field("retries", counts.retries);
    json_.Field("resends", counts.resends);
    json_.Field("associations", counts.associations);
    json_.Field("workers", summary_.workers.workers);
    json_.Field("interrupted", summary_.interrupted());
    json_.Field("end_reason", EndReason(summary_.session));
    json_.Field("pending", summary_.pending());
    json_.Field("ignored_files", summary_.ignored);
    writer_.Key("ignored_by_reason");
    writer_.StartObject();
    for (const auto& [reason, files] : summary_.session.ignored) {
      if (!IsUnreadable(reason)) json_.Field(ToValidUtf8(reason).c_str(), files);
    }
    writer_.EndObject();
  }

  void WriteStudies() {
    writer_.Key("studies");
    writer_.StartArray();
    ForEachStudy(ledger_, summary_.session.key, progress_, [this](const StudyRecord& study) { WriteStudy(study); });
    writer_.EndArray();
  }

  void WriteStudy(const StudyRecord& study) {
    const bool was_sent = study.first_lease_time && study.last_outcome_time;
    const Duration duration = was_sent ? Between(*study.first_lease_time, *study.last_outcome_time) : Duration(0);
    writer_.StartObject();
    json_.Field("study_instance_uid", study.uid);
    json_.Field("total_files", study.counts.total);
    json_.Field("successful_transfers", study.counts.successful());
    json_.Field("failed_transfers", study.counts.failed);
    json_.Field("warnings", study.counts.warned);
    json_.Field("skipped", study.counts.skipped);
    json_.Field("pending", study.counts.unsettled());
    json_.Field("total_bytes", study.counts.stored_bytes);
    json_.Field("associations", study.counts.associations);
    json_.Field("duration_ms", WholeMilliseconds(duration));
    writer_.EndObject();
  }

  void WriteInstances(const char* name, std::span<const InstanceState> states) {
    writer_.Key(name);
    writer_.StartArray();
    for (const auto& instance : ledger_.Report(summary_.session.key, states, {}, kReportedInstancesMax)) {
      json_.Write(instance);
    }
    progress_.Note();
    writer_.EndArray();
  }

  // Added later than the fields above, so that those stay where they are.
  void WriteNotArrived() {
    json_.Field("not_read_files", summary_.not_read_files);
    json_.Field("not_read_folders", summary_.not_read_folders);
    WriteInstances("conflict_files", kConflictStates);
    writer_.Key("not_read");
    writer_.StartArray();
    for (const auto& unread : ledger_.Unread(summary_.session.key, {}, kReportedInstancesMax)) json_.Write(unread);
    writer_.EndArray();
  }

  rapidjson::PrettyWriter<AtomicFile> writer_;
  Json<rapidjson::PrettyWriter<AtomicFile>> json_;
  LedgerReader& ledger_;
  const SessionSummary& summary_;
  unsigned threads_used_;
  Progress& progress_;
};

// One line for each item of the pages, which `read` gets by the item before, until one is empty.
template <class Item, class Read>
void WriteLines(AtomicFile& file, Progress& progress, Read read) {
  rapidjson::Writer<AtomicFile> writer;
  for (std::vector<Item> page = read(nullptr); !page.empty(); page = read(&page.back())) {
    progress.Note();
    for (const Item& item : page) {
      writer.Reset(file);
      Json(writer).WriteLine(item);
      file.Put('\n');
    }
  }
}

tl::expected<void, std::string> WriteFailures(LedgerReader& ledger, SessionKey session, const std::string& path,
                                              Progress& progress) {
  AtomicFile file(path);
  WriteLines<ReportedInstance>(file, progress, [&](const ReportedInstance* last) {
    const InstanceCursor after = last ? InstanceCursor{last->study, last->index} : InstanceCursor();
    return ledger.Report(session, kNotArrivedStates, after, kPage);
  });
  WriteLines<UnreadPath>(file, progress, [&](const UnreadPath* last) {
    return ledger.Unread(session, last ? std::string_view(last->path) : std::string_view(), kPage);
  });
  return file.Commit();
}

std::string FilesBegin(const std::string& output_dir, const SessionRecord& session) {
  return fmt::format("{}/dicom_sender_summary_{}", output_dir, session.settings.session());
}
std::string FailuresFile(const std::string& output_dir, const SessionRecord& session) {
  return FilesBegin(output_dir, session) + "_failures.ndjson";
}

// An earlier end of the session may have left some.
tl::expected<void, std::string> RemoveFailures(const std::string& path) {
  if (unlink(path.c_str()) == 0 || errno == ENOENT) return {};
  return tl::unexpected(fmt::format("{} cannot be removed: {}", path, std::strerror(errno)));
}

}  // namespace

SessionSummary Summarise(LedgerReader& ledger, SessionKey session, WallTime now) {
  SessionSummary summary;
  summary.session = ledger.LoadSession(session);
  const Counts& counts = summary.session.counts;
  summary.end_time = summary.session.end_time.value_or(now);
  summary.elapsed = summary.session.worked;
  if (summary.session.run_start) summary.elapsed += Between(*summary.session.run_start, now);
  if (counts.successful() > 0) {
    summary.average_transfer = Duration(std::chrono::microseconds(counts.store_us)) / counts.successful();
  }
  const double seconds = std::chrono::duration<double>(summary.elapsed).count();
  if (seconds > 0) summary.mib_per_second = static_cast<double>(counts.stored_bytes) / 1048576 / seconds;
  summary.workers = ledger.Workers(session);
  summary.not_read_files = CountIgnored(summary.session, kUnreadableFile);
  summary.not_read_folders = CountIgnored(summary.session, kUnreadableFolder);
  for (const auto& [reason, files] : summary.session.ignored) summary.ignored += IsUnreadable(reason) ? 0 : files;
  summary.failure_reasons = ledger.CountFailureReasons(session, kSummaryReasonsMax);
  return summary;
}

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
  status.set_pending(session.counts.total - session.counts.successful() - session.counts.failed -
                     session.counts.skipped);
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

wire::SessionReport ToReport(const SessionSummary& summary) {
  const Counts& counts = summary.session.counts;
  wire::SessionReport report;
  *report.mutable_status() = ToStatus(summary.session);
  report.set_start_ms(summary.session.start_time.time_since_epoch().count());
  report.set_end_ms(summary.end_time.time_since_epoch().count());
  report.set_conflicts(counts.conflicts);
  report.set_retries(counts.retries);
  report.set_resends(counts.resends);
  report.set_associations(counts.associations);
  report.set_workers(summary.workers.workers);
  report.set_threads(summary.workers.threads);
  report.set_store_us(counts.store_us);
  report.set_worked_ms(WholeMilliseconds(summary.elapsed));
  for (const ReasonCount& reason : summary.failure_reasons.most_frequent) {
    auto* entry = report.add_failure_reasons();
    entry->set_reason(reason.reason);
    entry->set_instances(reason.instances);
  }
  report.set_other_failure_reasons(summary.failure_reasons.distinct - summary.failure_reasons.most_frequent.size());
  return report;
}

SummaryFiles SummaryFilesOf(const std::string& output_dir, const SessionRecord& session) {
  const bool all_arrived = session.counts.failed + session.counts.conflicts == 0 &&
                           CountIgnored(session, kUnreadableFile) + CountIgnored(session, kUnreadableFolder) == 0;
  return {.summary = FilesBegin(output_dir, session) + ".json",
          .failures = all_arrived ? std::string() : FailuresFile(output_dir, session)};
}

tl::expected<SummaryFiles, std::string> WriteSummary(LedgerReader& ledger, const SessionSummary& summary,
                                                     const std::string& output_dir, unsigned threads_used,
                                                     Progress progress) {
  const SessionRecord& session = summary.session;
  SummaryFiles files = SummaryFilesOf(output_dir, session);
  const auto written = files.failures.empty() ? RemoveFailures(FailuresFile(output_dir, session))
                                              : WriteFailures(ledger, session.key, files.failures, progress);
  if (!written) return tl::unexpected(written.error());
  AtomicFile file(files.summary);
  SummaryDocument(file, ledger, summary, threads_used, progress).Write();
  file.Put('\n');
  if (const auto committed = file.Commit(); !committed) return tl::unexpected(committed.error());
  return files;
}

}  // namespace dicom_sender
