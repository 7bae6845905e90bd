#include "coordinator/summary/summary_document.h"

#include <fmt/format.h>
#include <rapidjson/prettywriter.h>
#include <rapidjson/writer.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "common/text.h"
#include "proto/words.h"

namespace dicom_sender {
namespace {

constexpr std::size_t kPage = 1000;  // studies or instances per read
constexpr int kDecimals = 6;
constexpr std::array kWarnedStates = {InstanceState::kStoredWithWarning};
constexpr std::array kSkippedStates = {InstanceState::kSkipped, InstanceState::kConflict};
constexpr std::array kConflictStates = {InstanceState::kConflict};

double Milliseconds(Duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); }

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
  // The WriteLine() functions write the fields of a line of the failures file.
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

// Calls `use` for each study of the session, in ascending order of the keys.
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
  SummaryDocument(AtomicFile& file, LedgerReader& ledger, const SessionSummary& summary, Progress& progress)
      : writer_(file), json_(writer_), ledger_(ledger), summary_(summary), progress_(progress) {
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
  // Scripts rely on these fields coming first and in this order.
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
    json_.Field("threads_used", std::uint64_t{summary_.threads_used});
    json_.Field("destination", DestinationText(destination));
    json_.Field("calling_ae", destination.calling_ae());
    json_.Field("called_ae", destination.called_ae());
  }

  // Scripts expect this list before `studies`. The studies are read twice, so that memory does not grow with their
  // number.
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

  // Later additions go last, so that the older fields keep their order.
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
  Progress& progress_;
};

// Writes one line per item. `read` returns the page that follows the given item; an empty page is the end.
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

}  // namespace

void WriteSummaryTo(AtomicFile& file, LedgerReader& ledger, const SessionSummary& summary, Progress& progress) {
  SummaryDocument(file, ledger, summary, progress).Write();
  file.Put('\n');
}

void WriteFailuresTo(AtomicFile& file, LedgerReader& ledger, SessionKey session, Progress& progress) {
  WriteLines<ReportedInstance>(file, progress, [&](const ReportedInstance* last) {
    const InstanceCursor after = last ? InstanceCursor{last->study, last->index} : InstanceCursor();
    return ledger.Report(session, kNotArrivedStates, after, kPage);
  });
  WriteLines<UnreadPath>(file, progress, [&](const UnreadPath* last) {
    return ledger.Unread(session, last ? std::string_view(last->path) : std::string_view(), kPage);
  });
}

}  // namespace dicom_sender
