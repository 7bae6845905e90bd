#include <rapidjson/writer.h>

#include <map>
#include <string_view>

#include "common/text.h"
#include "dicom/uid_names.h"
#include "preflight/report_writers.h"
#include "preflight/troubles.h"
#include "proto/words.h"

namespace dicom_sender {
namespace {

class JsonReport {
 public:
  JsonReport(const Preflight& preflight, LedgerReader& ledger, const ReportContext& context, Output& out)
      : preflight_(preflight), ledger_(ledger), context_(context), json_(out) {}

  void Write() {
    json_.StartObject();
    WriteNumbers();
    WriteQuery();
    WritePairs();
    WriteFiles("defective_files", ForEachDefective);
    WriteFiles("conflicting_files", ForEachConflict);
    WriteNotRead();
    json_.EndObject();
  }

 private:
  void WriteNumbers() {
    const SessionRecord& session = preflight_.session;
    const Shortfall shortfall = ShortfallOf(preflight_);
    TextOrNull("session_id", context_.scan_is_kept ? session.settings.session() : "");
    TextOrNull("destination", DestinationText(session.settings.destination()));
    TextOrNull("log_file", context_.log_file);
    TextOrNull("send_command", context_.send_command);
    Number("exit_status", static_cast<std::uint64_t>(ExitStatusOf(preflight_)));
    Number("would_not_arrive", shortfall.total() - shortfall.unknown);
    Number("unknown", shortfall.unknown);
    Number("total_files", session.counts.total);
    Number("total_bytes", session.counts.total_bytes);
    Number("studies", session.studies);
    Number("to_send", session.counts.unsettled());
    Number("bytes_to_send", session.counts.total_bytes - session.counts.settled_bytes);
    Number("associations", preflight_.studies.associations);
    Number("defective", shortfall.defective);
    Number("skipped", session.counts.skipped);
    Number("conflicts", shortfall.conflicts);
    Number("not_read", shortfall.not_read);
    ByReason("ignored_by_reason", IgnoredByReason(session));
  }

  void WriteQuery() {
    json_.Key("query");
    if (!preflight_.asked && preflight_.query_failure.empty()) {
      json_.Null();
      return;
    }
    json_.StartObject();
    TextOrNull("failure", preflight_.query_failure);
    Number("associations", preflight_.query_associations);
    for (const Fate fate : {Fate::kAsIs, Fate::kDecoded, Fate::kRefused, Fate::kUnknown}) {
      Number(NameOf(fate).data(), InstancesWith(preflight_, fate));
    }
    json_.EndObject();
  }

  // The instances to send, with the destination's answer if it has one.
  void WritePairs() {
    json_.Key("contexts");
    json_.StartArray();
    for (const PairOutcome& outcome : preflight_.outcomes)
      WritePair(outcome.pair, outcome.instances, &outcome.verdict);
    if (!preflight_.asked) {
      for (const PairCount& count : preflight_.pairs) WritePair(ToNeed(count.pair), count.instances, nullptr);
    }
    json_.EndArray();
  }

  void WritePair(const ContextNeed& pair, std::uint64_t instances, const Verdict* verdict) {
    json_.StartObject();
    Text("sop_class_uid", pair.sop_class_uid);
    Text("sop_class", NameOfUid(pair.sop_class_uid));
    Text("transfer_syntax_uid", pair.transfer_syntax_uid);
    Text("transfer_syntax", NameOfUid(pair.transfer_syntax_uid));
    Number("instances", instances);
    TextOrNull("result", verdict != nullptr ? NameOf(verdict->fate) : "");
    TextOrNull("sent_as", verdict != nullptr ? verdict->transfer_syntax_uid : "");
    TextOrNull("reason", verdict != nullptr ? verdict->reason : "");
    json_.EndObject();
  }

  template <typename ForEach>
  void WriteFiles(const char* name, ForEach for_each) {
    json_.Key(name);
    json_.StartArray();
    for_each(ledger_, preflight_.session, [this](const ReportedInstance& file) {
      json_.StartObject();
      Text("path", file.path);
      Text("study_instance_uid", file.study_instance_uid);
      Text("sop_instance_uid", file.sop_instance_uid);
      Text("reason", file.reason);
      json_.EndObject();
    });
    json_.EndArray();
  }

  void WriteNotRead() {
    json_.Key("not_read_paths");
    json_.StartArray();
    ForEachNotRead(ledger_, preflight_.session, [this](const UnreadPath& unread) {
      json_.StartObject();
      Text("path", unread.path);
      json_.Key("is_folder");
      json_.Bool(unread.is_folder);
      Text("reason", unread.reason);
      json_.EndObject();
    });
    json_.EndArray();
  }

  void ByReason(const char* name, const std::map<std::string, std::uint64_t>& counts) {
    json_.Key(name);
    json_.StartObject();
    for (const auto& [reason, count] : counts) Number(ToValidUtf8(reason).c_str(), count);
    json_.EndObject();
  }

  void Number(const char* name, std::uint64_t value) {
    json_.Key(name);
    json_.Uint64(value);
  }
  void Text(const char* name, std::string_view value) {
    const std::string text = ToValidUtf8(value);
    json_.Key(name);
    json_.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
  }
  void TextOrNull(const char* name, std::string_view value) {
    if (!value.empty()) return Text(name, value);
    json_.Key(name);
    json_.Null();
  }

  const Preflight& preflight_;
  LedgerReader& ledger_;
  const ReportContext& context_;
  rapidjson::Writer<Output> json_;
};

}  // namespace

void WriteJson(const Preflight& preflight, LedgerReader& ledger, const ReportContext& context, Output& out) {
  JsonReport(preflight, ledger, context, out).Write();
  out.Put('\n');
}

}  // namespace dicom_sender
