// What users see of a ledger through SQL: docs/ledger.md is the contract.
#include <gmock/gmock.h>

#include <array>

#include "coordinator/ledger/sqlite/sqlite_ledger.h"
#include "dicom/dimse_status.h"
#include "tests/unit/coordinator/ledger/ledger_contract.h"
#include "tests/unit/coordinator/ledger/ledger_file.h"
#include "tests/unit/coordinator/ledger/readable_ledger.h"

namespace dicom_sender {
namespace {

constexpr InstanceState kDelayed = InstanceState::kDelayed, kStored = InstanceState::kStored,
                        kStoredWithWarning = InstanceState::kStoredWithWarning, kFailed = InstanceState::kFailed;

class ViewsTest : public testing::TestWithParam<SqlDialect> {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNotReadable(GetParam()); !why.empty()) GTEST_SKIP() << why;
    store_ = MakeReadableLedger(GetParam());
    settings_.set_session("0b5c");
    settings_.mutable_destination()->set_called_ae("PACS");
    settings_.mutable_destination()->set_calling_ae("SENDER");
    settings_.mutable_destination()->set_host("pacs.example");
    settings_.mutable_destination()->set_port(11112);
    InTransaction([&] { session_ = ledger().CreateSession(settings_, At(1'700'000'000'007)).key; });
  }

  template <class Work>
  void InTransaction(Work work) {
    ledger().Begin();
    work();
    ledger().Commit();
  }
  StudyKey Feed(const std::string& study, const std::vector<File>& files, const std::string& accession_number = "") {
    wire::PublishBatch batch = Batch(study, files);
    batch.mutable_studies(0)->set_accession_number(accession_number);
    StudyKey key = 0;
    InTransaction([&] { key = ledger().AddStudies(session_, batch).at(0).study; });
    return key;
  }
  StudyKey FeedFiles(const std::string& study, int count) {
    std::vector<File> files;
    for (int i = 0; i < count; ++i) {
      const std::string number = std::to_string(i);
      files.push_back({.path = study + "/" + number, .sop_instance_uid = study + "." + number});
    }
    return Feed(study, files);
  }
  struct Outcome {
    std::uint32_t attempts = 1;
    std::optional<std::uint16_t> status = {};
    std::string reason = {};
    std::uint32_t duration_us = 0;
    bool may_be_stored = false;
    std::string worker = {};
  };
  void Change(StudyKey study, std::uint32_t index, InstanceState state, const Outcome& outcome,
              std::int64_t at = 1'700'000'001'234) {
    const InstanceChange change{.study = study,
                                .index = index,
                                .state = state,
                                .attempts = outcome.attempts,
                                .status = outcome.status,
                                .reason = outcome.reason,
                                .duration_us = outcome.duration_us,
                                .may_be_stored = outcome.may_be_stored,
                                .worker = outcome.worker};
    InTransaction([&] { ReadAndChange(ledger(), {change}, At(at)); });
  }
  Ledger& ledger() { return store_->ledger(); }
  std::string Rows(const std::string& query) { return store_->Rows(query); }

  std::unique_ptr<ReadableLedger> store_;
  wire::OpenSession settings_;
  SessionKey session_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Stores, ViewsTest, testing::Values(SqlDialect::kSqlite, SqlDialect::kPostgresql));

TEST_P(ViewsTest, AnInstanceInEachState) {
  const StudyKey study = FeedFiles("1.2", 6);
  Change(study, 1, kDelayed, {.attempts = 1, .status = 0xA700, .reason = "A700 (out of resources)"});
  Change(study, 2, kStored, {.attempts = 2, .status = 0, .duration_us = 500});
  Change(study, 3, kStoredWithWarning,
         {.attempts = 1, .status = 0xB000, .reason = "B000 (coercion of data elements)", .duration_us = 700});
  Change(study, 4, kFailed, {.attempts = 1, .status = 0x0110, .reason = "0110 (processing failure)"});
  Change(study, 5, kFailed, {.attempts = 0, .reason = "the file has vanished"}, 1'700'000'002'000);
  Feed("1.2", {{.path = "copy", .sop_instance_uid = "1.2.2"},
               {.path = "broken", .sop_instance_uid = "1.2.9", .defect = "it is cut"}});
  EXPECT_EQ(
      Rows("SELECT sop_instance_uid, path, state, status, status_meaning, reason, attempts, outcome_time, "
           "duration_us FROM instances ORDER BY path"),
      "1.2.0|/data/1.2/0|pending|NULL|NULL|NULL|0|NULL|0\n"
      "1.2.1|/data/1.2/1|delayed|A700|out of resources|A700 (out of resources)|1|NULL|0\n"
      "1.2.2|/data/1.2/2|stored|0000|success|NULL|2|2023-11-14T22:13:21.234Z|500\n"
      "1.2.3|/data/1.2/3|stored_with_warning|B000|coercion of data elements|B000 (coercion of data "
      "elements)|1|2023-11-14T22:13:21.234Z|700\n"
      "1.2.4|/data/1.2/4|failed|0110|processing failure|0110 (processing failure)|1|2023-11-14T22:13:21.234Z|0\n"
      "1.2.5|/data/1.2/5|failed|NULL|NULL|the file has vanished|0|2023-11-14T22:13:22.000Z|0\n"
      "1.2.9|/data/broken|failed|NULL|NULL|it is cut|0|NULL|0\n"
      "1.2.2|/data/copy|skipped|NULL|NULL|same SOP Instance UID as /data/1.2/2, not compared|0|NULL|0\n");
  EXPECT_EQ(Rows("SELECT DISTINCT session, study_instance_uid, sop_class_uid, transfer_syntax_uid, size_bytes, "
                 "may_be_stored, worker FROM instances"),
            "0b5c|1.2|1.2.840.10008.5.1.4.1.1.2|1.2.840.10008.1.2.1|1000|0|NULL\n");
}

TEST_P(ViewsTest, TheCountsMatchTheStates) {
  const StudyKey study = FeedFiles("1.2", 6);
  Change(study, 0, kStored, {.attempts = 1});
  Change(study, 1, kStoredWithWarning, {.attempts = 2});
  Change(study, 2, kFailed, {.attempts = 1});
  Feed("1.2", {{.path = "copy", .sop_instance_uid = "1.2.0"},
               {.path = "other", .sop_instance_uid = "1.2.0", .size_bytes = 7},
               {.path = "late", .sop_instance_uid = "1.2.6"}});
  InTransaction([&] {
    ledger().RecordComparisons(session_, std::array{Comparison{study, 6, ""}, Comparison{study, 7, "differs"}});
  });
  const std::string columns =
      "instances, stored, stored_with_warning, failed, abandoned, skipped, unsettled, conflicts, retries, "
      "total_bytes, stored_bytes";
  EXPECT_EQ(Rows("SELECT " + columns + " FROM sessions"), "9|1|1|1|0|2|4|1|1|8007|2000\n");
  EXPECT_EQ(Rows("SELECT " + columns + " FROM studies"), Rows("SELECT " + columns + " FROM sessions"));
  EXPECT_EQ(Rows("SELECT state, count(*) FROM instances GROUP BY state ORDER BY state"),
            "failed|1\npending|4\nskipped|2\nstored|1\nstored_with_warning|1\n");
  EXPECT_EQ(Rows("SELECT path FROM instances WHERE conflict"), "/data/other\n");
}

TEST_P(ViewsTest, AStudyWithAConflictIsIncomplete) {
  const StudyKey study = FeedFiles("1.2", 1);
  Feed("1.2", {{.path = "other", .sop_instance_uid = "1.2.0"}});
  Change(study, 0, kStored, {});
  InTransaction([&] { ledger().RecordComparisons(session_, std::array{Comparison{study, 1, ""}}); });
  EXPECT_EQ(Rows("SELECT state FROM studies"), "complete\n");
  Feed("1.2", {{.path = "another", .sop_instance_uid = "1.2.0"}});
  InTransaction([&] { ledger().RecordComparisons(session_, std::array{Comparison{study, 2, "differs"}}); });
  EXPECT_EQ(Rows("SELECT state FROM studies"), "incomplete\n");
}

TEST_P(ViewsTest, UnreadPaths) {
  InTransaction([&] {
    ledger().AddUnread(session_, "i", std::array{UnreadPath{"/data/closed", true, "Permission denied"}});
  });
  EXPECT_EQ(Rows("SELECT path, is_folder, reason FROM not_read"), "/data/closed|1|Permission denied\n");
}

TEST_P(ViewsTest, PendingInstancesOfAnEndedSessionShowItsReason) {
  const StudyKey study = FeedFiles("1.2", 4);
  Change(study, 1, kDelayed, {.status = 0xA700, .reason = "A700 (out of resources)"});
  Change(study, 2, kStored, {.status = 0});
  Change(study, 3, kFailed, {});
  const std::string query = "SELECT state, reason FROM instances ORDER BY path";
  const std::string own = "pending|NULL\ndelayed|A700 (out of resources)\nstored|NULL\nfailed|NULL\n";
  EXPECT_EQ(Rows(query), own);
  const auto set = [&](wire::SessionState state, const std::string& reason) {
    InTransaction([&] { ledger().SetSessionState(session_, state, reason, At(1'700'000'009'999)); });
  };
  for (const auto state : {wire::SESSION_UNREACHABLE, wire::SESSION_REFUSED, wire::SESSION_CANCELLED}) {
    set(state, "no route to host");
    EXPECT_EQ(Rows(query), "pending|no route to host\ndelayed|A700 (out of resources)\nstored|NULL\nfailed|NULL\n");
  }
  set(wire::SESSION_CANCELLED, "");
  EXPECT_EQ(Rows(query), own);
  set(wire::SESSION_SENDING, "");
  EXPECT_EQ(Rows(query), own);
}

TEST_P(ViewsTest, AnOutcomeNamesTheWorkerThatReportedIt) {
  const StudyKey study = FeedFiles("1.2", 4);
  Change(study, 1, kDelayed, {.worker = "w1"});
  Change(study, 2, kStored, {.worker = "w2"});
  Change(study, 3, kFailed, {.worker = "w1"});
  InTransaction([&] { ledger().GrantLease(study, 7, "w3", "", 4, At(1)); });
  InTransaction([&] { ledger().SetPageEnd(study, 4); });
  EXPECT_EQ(Rows("SELECT state, worker, reported_by FROM instances ORDER BY path"),
            "pending|w3|NULL\ndelayed|w3|w1\nstored|NULL|w2\nfailed|NULL|w1\n");
}

TEST_P(ViewsTest, ASessionInEachState) {
  EXPECT_EQ(Rows("SELECT session, state, ending, called_ae, calling_ae, host, port, start_time, end_time, "
                 "end_reason, scan_complete, studies FROM sessions"),
            "0b5c|scanning|NULL|PACS|SENDER|pacs.example|11112|2023-11-14T22:13:20.007Z|NULL||0|0\n");
  const std::pair<wire::SessionState, std::string> states[] = {
      {wire::SESSION_SENDING, "sending"},         {wire::SESSION_COMPLETE, "complete"},
      {wire::SESSION_UNREACHABLE, "unreachable"}, {wire::SESSION_REFUSED, "refused"},
      {wire::SESSION_SUSPENDED, "suspended"},     {wire::SESSION_CANCELLED, "cancelled"}};
  for (const auto& [state, word] : states) {
    InTransaction([&, state = state] { ledger().SetSessionState(session_, state, "", At(1'700'000'009'999)); });
    EXPECT_EQ(Rows("SELECT state FROM sessions"), word + "\n");
  }
  EXPECT_EQ(Rows("SELECT end_time FROM sessions"), "2023-11-14T22:13:29.999Z\n");
  InTransaction([&] { ledger().SetEnding(session_, wire::SESSION_SUSPENDED); });
  EXPECT_EQ(Rows("SELECT ending FROM sessions"), "suspended\n");
}

TEST_P(ViewsTest, TheDestinationComesFromTheSettings) {
  settings_.mutable_destination()->set_host("10.0.0.7");
  settings_.mutable_destination()->set_port(104);
  InTransaction([&] { ledger().SetSettings(session_, settings_); });
  EXPECT_EQ(Rows("SELECT called_ae, calling_ae, host, port FROM sessions"), "PACS|SENDER|10.0.0.7|104\n");
}

TEST_P(ViewsTest, AStudyIsLeasedWaitingOrDone) {
  const StudyKey study = FeedFiles("1.2", 3);
  const std::string state = "SELECT state, worker, first_lease_time, last_outcome_time FROM studies";
  EXPECT_EQ(Rows(state), "waiting|NULL|NULL|NULL\n");
  InTransaction([&] {
    ledger().GrantLease(study, 7, "w1", "", 4, At(1'700'000'001'000));
    ledger().SetPageEnd(study, 2);
  });
  EXPECT_EQ(Rows(state), "sending|w1|2023-11-14T22:13:21.000Z|NULL\n");
  EXPECT_EQ(Rows("SELECT lease, session, study_instance_uid, worker, in_force, associations FROM leases"),
            "7|0b5c|1.2|w1|1|0\n");
  Change(study, 0, kStored, {.attempts = 1});
  EXPECT_EQ(Rows("SELECT worker FROM instances ORDER BY path"), "NULL\nw1\nNULL\n") << "stored, handed out, not yet";
  InTransaction([&] { ledger().EndLease(study, true); });
  EXPECT_EQ(Rows(state), "waiting|NULL|2023-11-14T22:13:21.000Z|2023-11-14T22:13:21.234Z\n");
  EXPECT_EQ(Rows("SELECT in_force FROM leases"), "0\n");
  EXPECT_EQ(Rows("SELECT DISTINCT worker FROM instances"), "NULL\n");
  Change(study, 1, kFailed, {.attempts = 1});
  Change(study, 2, kStoredWithWarning, {.attempts = 1});
  EXPECT_EQ(Rows("SELECT state FROM studies"), "incomplete\n");
  Change(study, 1, kStored, {.attempts = 1});
  EXPECT_EQ(Rows("SELECT state FROM studies"), "complete\n");
}

TEST_P(ViewsTest, ARequeuedInstanceHasNoOutcomeTime) {
  const StudyKey study = FeedFiles("1.2", 1);
  Change(study, 0, kFailed, {.attempts = 1, .status = 0xC000, .may_be_stored = true});
  EXPECT_EQ(Rows("SELECT state, status, outcome_time, may_be_stored FROM instances"),
            "failed|C000|2023-11-14T22:13:21.234Z|1\n");
  InTransaction([&] { ledger().Requeue(session_, {}); });
  EXPECT_EQ(Rows("SELECT state, status, outcome_time, may_be_stored FROM instances"), "pending|NULL|NULL|1\n");
}

TEST_P(ViewsTest, TheFirstAccessionNumberOfAStudyIsKept) {
  Feed("1.2", {{.path = "a", .sop_instance_uid = "1.2.1"}});
  EXPECT_EQ(Rows("SELECT accession_number FROM studies"), "NULL\n");
  Feed("1.2", {{.path = "b", .sop_instance_uid = "1.2.2"}}, "A-1");
  Feed("1.2", {{.path = "c", .sop_instance_uid = "1.2.3"}}, "A-2");
  Feed("1.2", {{.path = "d", .sop_instance_uid = "1.2.4"}});
  EXPECT_EQ(Rows("SELECT accession_number FROM studies"), "A-1\n");
  EXPECT_EQ(Rows("SELECT DISTINCT accession_number FROM instances"), "A-1\n");
}

TEST_P(ViewsTest, EachStatusHasItsDocumentedMeaning) {
  std::vector<int> statuses = {0x0002, 0x0114, 0x7FFF, 0xD000};
  for (const StatusMeaning& row : StatusMeanings()) {
    for (const int near : {row.first - 1, row.first + 0, row.last + 0, row.last + 1}) {
      if (near >= 0 && near <= UINT16_MAX) statuses.push_back(near);
    }
  }
  const StudyKey study = FeedFiles("1.2", static_cast<int>(statuses.size()));
  std::vector<InstanceChange> changes(statuses.size());
  std::string expected;
  for (std::size_t i = 0; i < statuses.size(); ++i) {
    const auto status = static_cast<std::uint16_t>(statuses[i]);
    changes[i].study = study;
    changes[i].index = static_cast<std::uint32_t>(i);
    changes[i].state = kFailed;
    changes[i].status = status;
    expected += DescribeStatus(status) + "\n";
  }
  InTransaction([&] { ReadAndChange(ledger(), changes, At(1)); });
  EXPECT_EQ(Rows("SELECT status || ' (' || status_meaning || ')' FROM instances"
                 " ORDER BY CAST(substr(sop_instance_uid, 5) AS INTEGER)"),
            expected);
}

TEST_P(ViewsTest, PathsAreBytes) {
  Feed("1.2", {{.path = "\xC3\xA4 b", .sop_instance_uid = "1.2.1"},
               {.path = "\xE4\xFF", .sop_instance_uid = "1.2.2"},
               {.path = "c", .sop_instance_uid = "1.2.3", .root = "/"},
               {.path = "/d", .sop_instance_uid = "1.2.4", .root = ""}});
  // PostgreSQL cannot store text that is not UTF-8.
  const bool is_sqlite = GetParam() == SqlDialect::kSqlite;
  const std::string not_utf8 = is_sqlite ? "/data/\xE4\xFF" : "/data/\\344\\377";
  EXPECT_EQ(Rows("SELECT path FROM instances ORDER BY sop_instance_uid"),
            "/data/\xC3\xA4 b\n" + not_utf8 + "\n/c\n/d\n");
  if (is_sqlite) {
    EXPECT_EQ(Rows("SELECT DISTINCT typeof(path) FROM instances"), "text\n");
  }
}

// Unicode 15, table 3-7: the first and the last value of each row, and their neighbors.
TEST_P(ViewsTest, APathIsTextIfItIsUtf8) {
  const std::vector<std::string> good = {"\x01",
                                         "\x7F",
                                         "\xC2\x80",
                                         "\xDF\xBF",
                                         "\xE0\xA0\x80",
                                         "\xEC\xBF\xBF",
                                         "\xED\x80\x80",
                                         "\xED\x9F\xBF",
                                         "\xEE\x80\x80",
                                         "\xEF\xBF\xBF",
                                         "\xF0\x90\x80\x80",
                                         "\xF3\xBF\xBF\xBF",
                                         "\xF4\x80\x80\x80",
                                         "\xF4\x8F\xBF\xBF",
                                         "back\\slash",
                                         "'quote'"};
  const std::vector<std::string> bad = {"\x80",
                                        "\xC1\xBF",
                                        "\xC2",
                                        "\xC2\x7F",
                                        "\xE0\x9F\xBF",
                                        "\xE1\x80",
                                        "\xE1\x80\xC0",
                                        "\xED\xA0\x80",
                                        "\xF0\x8F\xBF\xBF",
                                        "\xF4\x90\x80\x80",
                                        "\xF5\x80\x80\x80",
                                        "\xFF",
                                        std::string("\0", 1)};
  std::vector<File> files;
  for (const auto& path : good)
    files.push_back({.path = path, .sop_instance_uid = "good." + std::to_string(files.size())});
  for (const auto& path : bad)
    files.push_back({.path = path, .sop_instance_uid = "bad." + std::to_string(files.size())});
  Feed("1.2", files);
  const std::string one = "SELECT path FROM instances WHERE sop_instance_uid = '";
  for (std::size_t i = 0; i < files.size(); ++i) {
    const bool kept = i < good.size() || GetParam() == SqlDialect::kSqlite;
    const std::string path = Rows(one + files[i].sop_instance_uid + "'");
    EXPECT_EQ(path == "/data/" + files[i].path + "\n", kept) << i << " " << path;
  }
}

TEST_P(ViewsTest, TimesIncludeMilliseconds) {
  const StudyKey study = FeedFiles("1.2", 1);
  for (const auto& [at, text] :
       std::vector<std::pair<std::int64_t, std::string>>{{0, "1970-01-01T00:00:00.000Z"},
                                                         {1'709'251'199'999, "2024-02-29T23:59:59.999Z"},
                                                         {1'709'251'200'001, "2024-03-01T00:00:00.001Z"},
                                                         {4'102'444'799'999, "2099-12-31T23:59:59.999Z"}}) {
    Change(study, 0, kFailed, {.attempts = 1}, at);
    EXPECT_EQ(Rows("SELECT outcome_time FROM instances"), text + "\n");
  }
}

TEST(ViewsOfAnOldLedger, ShowTheMigratedData) {
  for (const int schema : {1, 2, 3}) {
    SCOPED_TRACE(schema);
    const LedgerFile file;
    file.BecomeSchema(schema);
    ASSERT_TRUE(OpenSqliteLedger(file.path()));
    EXPECT_EQ(file.Rows("SELECT path, state, status, accession_number, worker, reported_by FROM instances WHERE "
                        "study_instance_uid = '1.2.1' ORDER BY path LIMIT 5"),
              "/data/a/0|stored|NULL|NULL|NULL|NULL\n/data/a/1|stored_with_warning|B000|NULL|NULL|NULL\n"
              "/data/a/2|failed|C000|NULL|NULL|NULL\n/data/a/3|delayed|A700|NULL|w1|NULL\n/data/a/"
              "4|pending|NULL|NULL|w1|NULL\n");
    EXPECT_EQ(file.Rows("SELECT outcome_time FROM instances WHERE path = '/data/a/0'"),
              schema < 3 ? "NULL\n" : "2023-11-14T22:13:22.000Z\n");
    EXPECT_EQ(file.Rows("SELECT state, reason FROM instances WHERE study_instance_uid = '1.4.1' ORDER BY path"),
              "stored|NULL\npending|connection refused\n");
    EXPECT_EQ(file.Rows("SELECT called_ae, host, port, state, instances FROM sessions"),
              "PACS|127.0.0.1|104|sending|12\nPACS|127.0.0.1|104|scanning|1\nPACS|127.0.0.1|104|unreachable|2\n");
    EXPECT_EQ(file.Rows("SELECT count(*) FROM leases"), "4\n");
  }
}

}  // namespace
}  // namespace dicom_sender
