// Migrates the ledger of an older release, which must succeed as a whole or change nothing.
#include <gmock/gmock.h>

#include "coordinator/ledger/sqlite/sqlite_ledger.h"
#include "tests/support/file_size_limit.h"
#include "tests/unit/coordinator/ledger/ledger_contract.h"
#include "tests/unit/coordinator/ledger/ledger_file.h"

namespace dicom_sender {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

constexpr const char* kHalfSent = "aaaaaaaa-0000-4000-8000-000000000001";
constexpr const char* kScanning = "bbbbbbbb-0000-4000-8000-000000000002";
constexpr const char* kUnreachable = "cccccccc-0000-4000-8000-000000000003";

class MigrationTest : public testing::TestWithParam<int> {
 protected:
  MigrationTest() { file_.BecomeSchema(GetParam()); }

  std::unique_ptr<Ledger> Open() const {
    auto ledger = OpenSqliteLedger(file_.path());
    if (!ledger) throw std::runtime_error(ledger.error());
    return *std::move(ledger);
  }
  std::string WhyNot() const {
    try {
      const auto ledger = OpenSqliteLedger(file_.path());
      return ledger ? std::string() : ledger.error();
    } catch (const LedgerError& error) {
      return error.what();
    }
  }

  LedgerFile file_;
};

INSTANTIATE_TEST_SUITE_P(FromSchema, MigrationTest, testing::Values(1, 2, 3, 4));

TEST_P(MigrationTest, DataOfBothSchemasIsKept) {
  const char* const tables[] = {"session", "root", "pair", "study", "study_pair", "lease", "instance", "known"};
  // Session 3 with study 5 had abandoned an instance; see AbandonedInstancesArePending. The instance with index 6 of
  // study 1 is a conflict.
  const std::map<std::string, std::string> untouched = {
      {"session", " WHERE key <> 3"},
      {"study", " WHERE key <> 5"},
      {"instance", " WHERE (study <> 5 OR idx <> 1) AND (study <> 1 OR idx <> 6)"}};
  std::vector<std::string> questions;
  for (const std::string table : tables) {
    const std::string columns =
        file_.Rows("SELECT group_concat(name) FROM pragma_table_info('" + table + "') WHERE name <> 'abandoned'");
    const auto rows = untouched.find(table);
    questions.push_back("SELECT " + columns + " FROM " + table + (rows == untouched.end() ? "" : rows->second));
  }
  std::map<std::string, std::string> before;
  for (const std::string& question : questions) before[question] = file_.Rows(question);
  Open();
  for (const std::string& question : questions) {
    EXPECT_EQ(file_.Rows(question), before[question]) << question;
    EXPECT_NE(before[question], "") << question;
  }
  EXPECT_EQ(file_.Rows("SELECT DISTINCT ending FROM session"), "NULL\n");
  if (GetParam() < 3) {
    EXPECT_EQ(file_.Rows("SELECT DISTINCT accession_number FROM study"), "NULL\n");
    EXPECT_EQ(file_.Rows("SELECT DISTINCT outcome_ms FROM instance"), "NULL\n");
  }
  EXPECT_EQ(file_.Rows("SELECT DISTINCT reported_by FROM instance"), "NULL\n");
  EXPECT_EQ(file_.Rows("SELECT DISTINCT identity FROM lease"), "\n");
  EXPECT_EQ(file_.Rows("SELECT DISTINCT called_ae, calling_ae, host, port FROM session"),
            "PACS|SENDER|127.0.0.1|104\n");
}

TEST_P(MigrationTest, TheResultHasTheSchemaOfANewLedger) {
  const LedgerFile fresh;
  ASSERT_TRUE(OpenSqliteLedger(fresh.path()));
  Open();
  const std::string schema = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name";
  EXPECT_EQ(file_.Rows(schema), fresh.Rows(schema));
  EXPECT_EQ(file_.Rows("PRAGMA user_version"), fresh.Rows("PRAGMA user_version"));
}

TEST_P(MigrationTest, SessionsHaveTheirCountsIgnoredFilesAndScans) {
  const auto ledger = Open();
  const SessionRecord half = ledger->FindSession(kHalfSent).value();
  EXPECT_EQ(half.state, wire::SESSION_SENDING);
  EXPECT_TRUE(half.scan_complete);
  EXPECT_THAT(half.ignored, ElementsAre(Pair("empty", 1U), Pair("not_dicom", 3U)));
  EXPECT_EQ(half.settings.destination().called_ae(), "PACS");
  EXPECT_EQ(half.settings.retry_for_ms(), 60'000U);
  EXPECT_EQ(half.studies, 3U);
  EXPECT_EQ(half.counts.total, 12U);
  EXPECT_EQ(half.counts.stored, 2U);
  EXPECT_EQ(half.counts.warned, 1U);
  EXPECT_EQ(half.counts.failed, 2U);
  EXPECT_EQ(half.counts.skipped, 2U);
  EXPECT_EQ(half.counts.conflicts, 1U);
  EXPECT_EQ(half.counts.associations, 3U);

  const SessionRecord scanning = ledger->FindSession(kScanning).value();
  EXPECT_FALSE(scanning.scan_complete);
  EXPECT_TRUE(scanning.ignored.empty());
  EXPECT_EQ(scanning.counts.total, 1U);

  const SessionRecord unreachable = ledger->FindSession(kUnreachable).value();
  EXPECT_EQ(unreachable.state, wire::SESSION_UNREACHABLE);
  EXPECT_EQ(unreachable.end_reason, "connection refused");
  EXPECT_TRUE(unreachable.scan_complete);
  EXPECT_THAT(unreachable.ignored, ElementsAre(Pair("dicomdir", 1U)));
}

TEST_P(MigrationTest, ConflictsHaveTheirOwnState) {
  const auto ledger = Open();
  const auto session = ledger->FindSession("aaaaaaaa-0000-4000-8000-000000000001").value();
  const auto conflicts = ledger->Report(session.key, std::array{InstanceState::kConflict}, {}, 10);
  ASSERT_EQ(conflicts.size(), 1U);
  EXPECT_EQ(conflicts[0].path, "/data/a/6");
  EXPECT_EQ(ledger->Report(session.key, std::array{InstanceState::kSkipped}, {}, 10).size(), 1U);
}

TEST_P(MigrationTest, ElapsedTimeBecomesActiveTime) {
  const auto ledger = Open();
  const auto ended = ledger->FindSession("cccccccc-0000-4000-8000-000000000003").value();
  EXPECT_EQ(ended.worked, std::chrono::seconds(5));
  EXPECT_EQ(ended.run_start, std::nullopt);
  const auto open = ledger->FindSession("aaaaaaaa-0000-4000-8000-000000000001").value();
  EXPECT_EQ(open.worked, Duration(0));
  EXPECT_EQ(open.run_start, open.start_time);
}

TEST_P(MigrationTest, AbandonedInstancesArePending) {
  const auto ledger = Open();
  const SessionRecord session = ledger->FindSession(kUnreachable).value();
  const auto studies = ledger->Studies(session.key, 0, 10);
  ASSERT_EQ(studies.size(), 1U);
  for (const Counts& counts : {session.counts, studies[0].counts}) {
    EXPECT_EQ(counts.total, 2U);
    EXPECT_EQ(counts.stored, 1U);
    EXPECT_EQ(counts.failed, 0U);
    EXPECT_EQ(counts.unsettled(), 1U);
    EXPECT_EQ(counts.total_bytes, 2000U);
    EXPECT_EQ(counts.settled_bytes, 1000U);
  }
  const InstanceState pending[] = {InstanceState::kPending};
  const auto left = ledger->Report(session.key, pending, {}, 10);
  ASSERT_EQ(left.size(), 1U);
  EXPECT_EQ(left[0].sop_instance_uid, "1.4.1.1");
  EXPECT_EQ(left[0].reason, "") << "the session has it";
  EXPECT_EQ(ledger->LoadPage(studies[0].key, 1, 0, 10).instances_size(), 1);
}

TEST_P(MigrationTest, WorkersAreCountedAndLeasesAreInForce) {
  const auto ledger = Open();
  const auto workers = [&](const char* session) {
    return ledger->Workers(ledger->FindSession(session)->key).workers;
  };
  EXPECT_EQ(workers(kHalfSent), 2U);
  EXPECT_EQ(workers(kScanning), 0U);
  EXPECT_EQ(workers(kUnreachable), 1U);
  std::vector<StudyRecord> leased;
  for (const SessionKey session : ledger->Sessions()) {
    for (StudyRecord& study : ledger->LeasedStudies(session)) leased.push_back(std::move(study));
  }
  ASSERT_EQ(leased.size(), 2U);
  EXPECT_EQ(leased[0].lease, 1U);
  EXPECT_EQ(leased[1].lease, 3U);
  EXPECT_EQ(leased[1].lease_worker, "w1");
  EXPECT_EQ(leased[1].suspect_end, 3U);
  EXPECT_EQ(ledger->LastLeaseId(), 4U);
  EXPECT_EQ(ledger->FindLease(2)->last_report_seq, 1U);
}

TEST_P(MigrationTest, AnUnfinishedScanStartsOver) {
  const auto ledger = Open();
  const SessionKey session = ledger->FindSession(kScanning)->key;
  std::uint64_t scan = 5;
  ledger->Begin();
  EXPECT_TRUE(ledger->BeginScan(session, "", scan));
  EXPECT_TRUE(
      ledger->AddStudies(session, Batch("1.3.1", {{.path = "d/0", .sop_instance_uid = "1.3.1.0"}}))[0].pending == 0)
      << "its only file is known";
  ledger->CompleteScan(session, "", 5, {{"empty", 2}});
  ledger->Commit();
  EXPECT_TRUE(ledger->LoadSession(session).scan_complete);
  EXPECT_THAT(ledger->LoadSession(session).ignored, ElementsAre(Pair("empty", 2U)));
}

// The ignored files of schema 1 belong to the indexer with the empty name, so another scan of that indexer replaces
// them.
TEST_P(MigrationTest, ALaterScanReplacesTheIgnoredFiles) {
  const auto ledger = Open();
  const SessionKey session = ledger->FindSession(kHalfSent)->key;
  std::uint64_t scan = 1;
  ledger->Begin();
  EXPECT_TRUE(ledger->BeginScan(session, "", scan));
  EXPECT_FALSE(ledger->LoadSession(session).scan_complete);
  ledger->CompleteScan(session, "", scan, {{"empty", 4}});
  ledger->Commit();
  EXPECT_THAT(ledger->LoadSession(session).ignored, ElementsAre(Pair("empty", 4U)));
}

TEST_P(MigrationTest, ReopeningChangesNothing) {
  Open();
  const std::string once = file_.Bytes();
  Open();
  EXPECT_EQ(file_.Bytes(), once);
}

TEST_P(MigrationTest, AFailureInTheMiddleLeavesTheOldSchema) {
  // Each of these tables makes a later statement of the migration fail.
  std::vector<const char*> obstacles = {"copy", "unread", "not_read"};
  if (GetParam() < 4) obstacles.push_back("worker");
  if (GetParam() < 3) obstacles.insert(obstacles.end(), {"sessions", "leases"});
  if (GetParam() == 1) obstacles.insert(obstacles.begin(), {"ignored_1", "scan", "session_worker"});
  for (const char* obstacle : obstacles) {
    SCOPED_TRACE(obstacle);
    file_.Sql(std::string("CREATE TABLE ") + obstacle + " (x)");
    const std::string before = file_.Dump();
    EXPECT_THAT(WhyNot(), HasSubstr(obstacle));
    EXPECT_EQ(file_.Dump(), before);
    file_.Sql(std::string("DROP TABLE ") + obstacle);
  }
  EXPECT_EQ(WhyNot(), "");
}

TEST_P(MigrationTest, AFullDiskInTheMiddleLeavesTheOldSchema) {
  const std::string before = file_.Dump();
  // Increases the limit until the write-ahead log of the whole migration fits.
  std::uint64_t room = 0;
  std::string error = "none yet";
  for (; !error.empty() && room < 10'000'000; room += 1000) {
    {
      const FileSizeLimit limit(room);
      error = WhyNot();
    }
    if (error.empty()) break;
    ASSERT_THAT(error, HasSubstr("ledger '" + file_.path() + "': ")) << room;
    ASSERT_THAT(error, HasSubstr("start again")) << room;
    ASSERT_EQ(file_.Dump(), before) << room;
  }
  EXPECT_GT(room, 10'000U) << "several pages could not be written";
  EXPECT_EQ(error, "");
  EXPECT_EQ(file_.Rows("PRAGMA user_version"), "5\n");
}

}  // namespace
}  // namespace dicom_sender
