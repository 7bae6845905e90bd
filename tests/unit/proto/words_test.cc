// The same words in tables, JSON, SQL, metrics, on the status page, and in the documentation.
#include "proto/words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

#include "common/metrics.h"
#include "coordinator/ledger/instance_words.h"
#include "coordinator/ledger/views/views.h"
#include "coordinator/service/meter.h"
#include "dicom/dimse_status.h"
#include "session/json.h"
#include "session/session_view.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;
using testing::IsSubsetOf;

const std::vector<std::pair<wire::SessionState, std::string>> kSessionStates = {
    {wire::SESSION_SCANNING, "scanning"},  {wire::SESSION_SENDING, "sending"},
    {wire::SESSION_COMPLETE, "complete"},  {wire::SESSION_UNREACHABLE, "unreachable"},
    {wire::SESSION_REFUSED, "refused"},    {wire::SESSION_SUSPENDED, "suspended"},
    {wire::SESSION_CANCELLED, "cancelled"}};
const std::vector<std::string> kWorkerStates = {kWorkerSending,  kWorkerIdle,        kWorkerDraining,
                                                kWorkerNotReady, kWorkerQuarantined, kWorkerLost};
const std::vector<std::string> kDestinationStates = {kDestinationReachable, kDestinationUnreachable,
                                                     kDestinationThrottled};
const std::vector<InstanceState> kInstanceStates = {
    InstanceState::kPending, InstanceState::kDelayed, InstanceState::kStored,  InstanceState::kStoredWithWarning,
    InstanceState::kFailed,  InstanceState::kSkipped, InstanceState::kConflict};

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.is_open()) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

// Returns the README and all pages.
std::string Documentation() {
  const std::filesystem::path top = SOURCE_FOLDER;
  std::string text = ReadFile(top / "README.md");
  for (const auto& entry : std::filesystem::recursive_directory_iterator(top / "docs")) {
    if (entry.path().extension() == ".md") text += ReadFile(entry.path());
  }
  return text;
}

// Returns the keys of an object such as "const kMoods = { idle: 'idle', 'not ready': 'bad' };".
std::set<std::string> KeysOf(const std::string& script, const std::string& object) {
  const auto begin = script.find("const " + object + " = {");
  EXPECT_NE(begin, std::string::npos) << object;
  std::istringstream entries(script.substr(script.find('{', begin) + 1, script.find('}', begin) - begin));
  std::set<std::string> keys;
  for (std::string entry; std::getline(entries, entry, ',');) {
    const auto colon = entry.find(':');
    if (colon == std::string::npos) break;
    std::string key = entry.substr(0, colon);
    std::erase_if(key, [](char c) { return c == '\'' || c == '\n'; });
    keys.insert(key.substr(key.find_first_not_of(' ')));
  }
  return keys;
}

std::set<std::string> LabelValues(const prometheus::Registry& registry, const std::string& metric,
                                  const std::string& label) {
  std::set<std::string> values;
  for (const auto& family : registry.Collect()) {
    if (family.name != metric) continue;
    for (const auto& series : family.metric) {
      for (const auto& [name, value] : series.label) {
        if (name == label) values.insert(value);
      }
    }
  }
  return values;
}

TEST(Words, ASessionStateIsTheSameInTablesJsonAndSql) {
  const std::string sqlite = LedgerViews(SqlDialect::kSqlite), postgresql = LedgerViews(SqlDialect::kPostgresql);
  EXPECT_EQ(static_cast<int>(kSessionStates.size()), wire::SessionState_descriptor()->value_count());
  for (const auto& [state, word] : kSessionStates) {
    wire::SessionStatus status;
    status.set_state(state);
    EXPECT_EQ(SessionStateWord(state), word);
    EXPECT_EQ(StateText(status), word);
    EXPECT_THAT(ToJson(status), HasSubstr("\"state\":\"" + word + "\""));
    const std::string sql = " WHEN " + std::to_string(state) + " THEN '" + word + "'";
    EXPECT_THAT(sqlite, HasSubstr(sql));
    EXPECT_THAT(postgresql, HasSubstr(sql));
  }
  EXPECT_EQ(SessionStateWord(static_cast<wire::SessionState>(99)), "unknown");
}

TEST(Words, MetricsUseTheStatesOfSessionsAndInstances) {
  prometheus::Registry registry;
  CoordinatorMetrics metrics(registry);
  Meter meter(metrics);
  std::set<std::string> ended, open;
  for (const auto& [state, word] : kSessionStates) {
    if (!HasEnded(state)) {
      open.insert(word);
      continue;
    }
    ended.insert(word);
    meter.SessionEnded(state);
    EXPECT_EQ(metrics.sessions_ended_total[word].Value(), 1) << word;
  }
  EXPECT_EQ(LabelValues(registry, "dicom_sender_sessions_ended_total", "state"), ended) << "none is 'other'";
  EXPECT_EQ(LabelValues(registry, "dicom_sender_sessions", "state"), open);
  std::set<std::string> outcomes;
  for (const InstanceState state : kInstanceStates) {
    if (state != InstanceState::kPending) outcomes.insert(InstanceStateWord(state));
  }
  EXPECT_THAT(outcomes, IsSubsetOf(LabelValues(registry, "dicom_sender_instances_total", "outcome")));
  std::set<std::string> reasons;
  for (unsigned status = 1; status <= 0xFFFF; ++status) {
    const auto verdict = JudgeStoreStatus(static_cast<std::uint16_t>(status));
    if (verdict != StatusVerdict::kStored && verdict != StatusVerdict::kStoredWithWarning) {
      reasons.insert(StatusCategory(static_cast<std::uint16_t>(status)));
    }
  }
  EXPECT_THAT(reasons, IsSubsetOf(LabelValues(registry, "dicom_sender_failures_total", "reason")));
}

TEST(Words, SqlUsesTheStatesOfInstances) {
  const std::string views = LedgerViews(SqlDialect::kSqlite);
  for (const InstanceState state : kInstanceStates) {
    EXPECT_THAT(views, HasSubstr(" WHEN " + std::to_string(static_cast<int>(state)) + " THEN '" +
                                 InstanceStateWord(state) + "'"));
  }
}

TEST(Words, TheStatusPageKnowsEachState) {
  const std::string script = ReadFile(std::filesystem::path(SOURCE_FOLDER) / "status_page/page/status.js");
  std::set<std::string> sessions;
  for (const auto& [state, word] : kSessionStates) sessions.insert(word);
  EXPECT_EQ(KeysOf(script, "kSessionMoods"), sessions);
  EXPECT_EQ(KeysOf(script, "kWorkerMoods"), std::set<std::string>(kWorkerStates.begin(), kWorkerStates.end()));
  EXPECT_EQ(KeysOf(script, "kDestinationMoods"),
            std::set<std::string>(kDestinationStates.begin(), kDestinationStates.end()));
}

TEST(Words, TheDocumentationNamesEachState) {
  const std::string text = Documentation();
  std::vector<std::string> words = kWorkerStates;
  words.insert(words.end(), kDestinationStates.begin(), kDestinationStates.end());
  for (const auto& [state, word] : kSessionStates) words.push_back(word);
  for (const InstanceState state : kInstanceStates) words.emplace_back(InstanceStateWord(state));
  for (const std::string& word : words) EXPECT_THAT(text, HasSubstr("`" + word + "`"));
}

TEST(Words, ADestinationIsFormattedTheSameEverywhere) {
  wire::Destination destination;
  EXPECT_EQ(DestinationText(destination), "");
  destination.set_called_ae("ARCHIVE");
  destination.set_port(104);
  destination.set_host("pacs.example.org");
  EXPECT_EQ(DestinationText(destination), "ARCHIVE:104@pacs.example.org");
  EXPECT_EQ(DestinationText("ARCHIVE", 104, "pacs.example.org"), "ARCHIVE:104@pacs.example.org");
}

}  // namespace
}  // namespace dicom_sender
