#include "programs/sender/sessions.h"

#include <fmt/format.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include "cli/exit_status.h"
#include "cli/table.h"
#include "common/text.h"
#include "common/time.h"
#include "programs/sender/session_folder.h"
#include "proto/words.h"

namespace dicom_sender {
namespace {

using Json = rapidjson::Writer<rapidjson::StringBuffer>;

std::string TableOf(const std::vector<FolderSession>& sessions) {
  Table table(
      {"SESSION", "STATE", "RUNNING", "STARTED", "DESTINATION", "TOTAL", "STORED", "FAILED", "SKIPPED", "PENDING"});
  for (const FolderSession& session : sessions) {
    const char* running = session.in_use ? "yes" : "no";
    if (!session.record) {
      table.Add({session.file.session, "unknown", running, "", "", "", "", "", "", ""});
      continue;
    }
    const SessionRecord& record = *session.record;
    const Counts& counts = record.counts;
    table.Add({session.file.session, SessionStateWord(record.state), running, FormatRfc3339(record.start_time),
               DestinationText(record.settings.destination()), std::to_string(counts.total),
               std::to_string(counts.successful()), std::to_string(counts.failed), std::to_string(counts.skipped),
               std::to_string(counts.unsettled())});
  }
  return table.Text();
}

void PutText(Json& json, const char* key, std::string_view bytes) {
  const std::string text = ToValidUtf8(bytes);
  json.Key(key);
  json.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
}

void PutRecord(Json& json, const SessionRecord& record) {
  PutText(json, "state", SessionStateWord(record.state));
  PutText(json, "start_time", FormatRfc3339(record.start_time));
  json.Key("end_time");
  if (record.end_time) {
    json.String(FormatRfc3339(*record.end_time).c_str());
  } else {
    json.Null();
  }
  PutText(json, "destination", DestinationText(record.settings.destination()));
  PutText(json, "calling_ae", record.settings.destination().calling_ae());
  json.Key("inputs");
  json.StartArray();
  for (const std::string& input : record.settings.inputs()) {
    const std::string text = ToValidUtf8(input);
    json.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
  }
  json.EndArray();
  const std::pair<const char*, std::uint64_t> counts[] = {{"total", record.counts.total},
                                                          {"stored", record.counts.successful()},
                                                          {"failed", record.counts.failed},
                                                          {"skipped", record.counts.skipped},
                                                          {"pending", record.counts.unsettled()}};
  for (const auto& [name, count] : counts) {
    json.Key(name);
    json.Uint64(count);
  }
}

// One object per line, like the other lists of these programs.
std::string JsonOf(const std::vector<FolderSession>& sessions) {
  std::string text;
  for (const FolderSession& session : sessions) {
    rapidjson::StringBuffer buffer;
    Json json(buffer);
    json.StartObject();
    PutText(json, "session", session.file.session);
    PutText(json, "ledger", session.file.path);
    json.Key("running");
    json.Bool(session.in_use);
    if (session.record) PutRecord(json, *session.record);
    json.EndObject();
    text += std::string(buffer.GetString(), buffer.GetSize()) + "\n";
  }
  return text;
}

}  // namespace

int RunSessions(const SenderOptions& options, Console& console) {
  std::vector<FolderSession> sessions;
  for (const LedgerFile& file : LedgersIn(options.output_dir)) {
    sessions.push_back(LookAt(file));
    if (sessions.back().problem.empty()) continue;
    console.Error(sessions.back().problem);
    sessions.pop_back();
  }
  if (options.format == PlanFormat::kJson) {
    console.Print(JsonOf(sessions));
  } else if (sessions.empty()) {
    console.Print(fmt::format("No session in {}\n", ToPrintable(options.output_dir)));
  } else {
    console.Print(TableOf(sessions));
  }
  return kExitAllStored;
}

}  // namespace dicom_sender
