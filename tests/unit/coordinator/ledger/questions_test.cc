// Checks docs/ledger.md: its columns are those of the views, and its queries return the documented results.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <fstream>
#include <map>
#include <regex>

#include "tests/unit/coordinator/ledger/ledger_contract.h"
#include "tests/unit/coordinator/ledger/readable_ledger.h"

namespace dicom_sender {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr InstanceState kDelayed = InstanceState::kDelayed, kStored = InstanceState::kStored,
                        kStoredWithWarning = InstanceState::kStoredWithWarning, kFailed = InstanceState::kFailed;

struct Query {
  std::string heading;  // the heading above it
  std::string store;    // "sqlite", "postgresql"; empty: both
  bool for_administrator = false;
  std::string sql;
};

struct Document {
  std::vector<Query> queries;                              // in document order
  std::map<std::string, std::vector<std::string>> tables;  // the names in their first columns, by heading
};

Document Read(const std::string& path) {
  Document document;
  std::string heading;
  bool in_query = false;
  static const std::regex fence("```sql ?(\\w*) ?(\\w*)"), name("`(\\w+)`");
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::smatch match;
    if (in_query && line == "```") {
      in_query = false;
    } else if (in_query) {
      document.queries.back().sql += line + "\n";
    } else if (std::regex_match(line, match, fence)) {
      document.queries.push_back({heading, match.str(1), match.str(2) == "administrator", ""});
      in_query = true;
    } else if (line.starts_with("###")) {
      heading = line.substr(4);
    } else if (line.starts_with("| `")) {
      const std::string cell = line.substr(0, line.find('|', 1));
      for (auto it = std::sregex_iterator(cell.begin(), cell.end(), name); it != std::sregex_iterator(); ++it) {
        document.tables[heading].push_back(it->str(1));
      }
    }
  }
  return document;
}

class QuestionsTest : public testing::TestWithParam<SqlDialect> {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNotReadable(GetParam()); !why.empty()) GTEST_SKIP() << why;
    store_ = MakeReadableLedger(GetParam());
    Fill();
  }

  void Fill();
  SessionKey CreateSession(const std::string& uuid, std::int64_t at) {
    wire::OpenSession settings;
    settings.set_session(uuid);
    settings.mutable_destination()->set_called_ae("PACS");
    settings.mutable_destination()->set_calling_ae("SENDER");
    settings.mutable_destination()->set_host("pacs.example");
    settings.mutable_destination()->set_port(104);
    return ledger().CreateSession(settings, At(at)).key;
  }
  StudyKey Feed(SessionKey session, const std::string& uid, const std::string& accession_number,
                const std::vector<File>& files) {
    wire::PublishBatch batch = Batch(uid, files);
    batch.mutable_studies(0)->set_accession_number(accession_number);
    return ledger().AddStudies(session, batch).at(0).study;
  }
  void Change(StudyKey study, std::uint32_t index, InstanceState state, std::optional<std::uint16_t> status,
              const std::string& reason, std::int64_t at, bool sent_before = false,
              const std::string& worker = "WORKER") {
    InstanceChange change;
    change.study = study;
    change.index = index;
    change.state = state;
    change.attempts = 1;
    change.status = status;
    change.reason = reason;
    change.duration_us = 500;
    change.resend = sent_before;
    change.may_be_stored = sent_before;
    change.worker = worker;
    ReadAndChange(ledger(), {change}, At(at));
  }

  Ledger& ledger() { return store_->ledger(); }
  bool IsOurs(const Query& query) const {
    return query.store.empty() || query.store == (GetParam() == SqlDialect::kSqlite ? "sqlite" : "postgresql");
  }
  // Returns the rows of the queries under this heading.
  std::vector<std::string> Answers(const std::string& heading) {
    std::vector<std::string> answers;
    for (const Query& query : document_.queries) {
      if (query.heading == heading && IsOurs(query)) answers.push_back(store_->Rows(query.sql));
    }
    return answers;
  }

  const Document document_ = Read(LEDGER_DOCUMENT);
  std::unique_ptr<ReadableLedger> store_;
};

INSTANTIATE_TEST_SUITE_P(Stores, QuestionsTest, testing::Values(SqlDialect::kSqlite, SqlDialect::kPostgresql));

constexpr std::int64_t kStart = 1'795'852'800'000;  // 2026-11-28T08:00:00Z
constexpr std::int64_t kMinute = 60'000;

// Creates two sessions; the second one is half done. Study 1.1 has arrived in both, 1.2 is leased to WORKER after
// another worker was lost, 1.3 waits, and 1.4 has copies.
void QuestionsTest::Fill() {
  ledger().Begin();
  const SessionKey first = CreateSession("FIRST", kStart - 1'000'000'000);
  const StudyKey before = Feed(first, "1.1", "ACCESSION", {{.path = "x", .sop_instance_uid = "1.1.1"}});
  Change(before, 0, kStored, 0, "", kStart - 999'000'000);
  ledger().SetSessionState(first, wire::SESSION_COMPLETE, "", At(kStart - 998'000'000));

  const SessionKey session = CreateSession("SESSION", kStart);
  const StudyKey arrived =
      Feed(session, "1.1", "ACCESSION",
           {{.path = "a/1", .sop_instance_uid = "1.1.1"}, {.path = "a/2", .sop_instance_uid = "1.1.2"}});
  const StudyKey sending = Feed(session, "1.2", "",
                                {{.path = "b/1", .sop_instance_uid = "1.2.1"},
                                 {.path = "b/2", .sop_instance_uid = "1.2.2"},
                                 {.path = "b/3", .sop_instance_uid = "1.2.3"},
                                 {.path = "b/4", .sop_instance_uid = "1.2.4"},
                                 {.path = "b/5", .sop_instance_uid = "", .defect = "no SOP Instance UID"}});
  Feed(session, "1.3", "B-2", {{.path = "c/1", .sop_instance_uid = "1.3.1"}});
  const StudyKey copied = Feed(session, "STUDY", "B-3",
                               {{.path = "d/1", .sop_instance_uid = "1.4.1"},
                                {.path = "d/2", .sop_instance_uid = "1.4.1"},
                                {.path = "d/3", .sop_instance_uid = "1.4.1", .size_bytes = 7}});
  ledger().RecordComparisons(session,
                             std::array{Comparison{copied, 1, ""}, Comparison{copied, 2, "(7FE0,0010) differs"}});
  ledger().GrantLease(arrived, 1, "WORKER", "", 2, At(kStart + kMinute));
  Change(arrived, 0, kStored, 0, "", kStart + 2 * kMinute);
  Change(arrived, 1, kStoredWithWarning, 0xB000, "B000 (coercion of data elements)", kStart + 61 * kMinute);
  ledger().EndLease(arrived, true);
  ledger().GrantLease(sending, 2, "other", "", 2, At(kStart + kMinute));
  ledger().SetPageEnd(sending, 4);
  ledger().EndLease(sending, false);
  ledger().GrantLease(sending, 3, "WORKER", "", 2, At(kStart + 3 * kMinute));
  ledger().SetPageEnd(sending, 4);
  Change(sending, 0, kFailed, 0xC000, "C000 (cannot understand)", kStart + 4 * kMinute);
  Change(sending, 1, kDelayed, 0xA700, "A700 (out of resources)", kStart + 4 * kMinute);
  Change(sending, 2, kFailed, {}, "the association was lost", kStart + 5 * kMinute, true);
  ledger().GrantLease(copied, 4, "other", "", 2, At(kStart + kMinute));
  Change(copied, 0, kStored, 0, "", kStart + 62 * kMinute, false, "other");
  ledger().EndLease(copied, true);
  ledger().SetSessionState(session, wire::SESSION_SENDING, "", At(kStart));
  ledger().Commit();
}

TEST_P(QuestionsTest, EachViewHasTheDocumentedColumns) {
  const std::string of_sqlite = "SELECT name FROM pragma_table_info('{}') ORDER BY 1";
  const std::string of_postgresql =
      "SELECT column_name FROM information_schema.columns WHERE table_name = '{}' ORDER BY 1";
  for (const std::string view : {"sessions", "studies", "instances", "leases"}) {
    std::vector<std::string> documented = document_.tables.at(view);
    std::sort(documented.begin(), documented.end());
    const std::string sql =
        fmt::format(fmt::runtime(GetParam() == SqlDialect::kSqlite ? of_sqlite : of_postgresql), view);
    EXPECT_EQ(store_->Rows(sql), fmt::format("{}\n", fmt::join(documented, "\n"))) << view;
  }
}

TEST_P(QuestionsTest, EachQueryRuns) {
  std::size_t queries = 0;
  for (const Query& query : document_.queries) {
    if (!IsOurs(query) || query.for_administrator) continue;
    ++queries;
    try {
      const std::string rows = store_->Rows(query.sql);
      EXPECT_NE(rows, "") << "it returns no rows: " << query.sql;
    } catch (const std::runtime_error& error) {
      ADD_FAILURE() << error.what() << "\n" << query.sql;
    }
  }
  EXPECT_GT(queries, 15U);
}

TEST_P(QuestionsTest, AnAuditorSeesTheViewsAndNothingElse) {
  if (GetParam() == SqlDialect::kSqlite) GTEST_SKIP() << "anyone with access to the file can read everything";
  for (const Query& query : document_.queries) {
    if (query.for_administrator) store_->RowsForAdministrator(query.sql);
  }
  const auto as_auditor = [&](const std::string& sql) {
    return store_->RowsForAdministrator("SET ROLE auditor; " + sql);
  };
  for (const std::string view : {"sessions", "studies", "instances", "leases"}) {
    EXPECT_NE(as_auditor("SELECT * FROM " + view), "");
    EXPECT_THROW(as_auditor("DELETE FROM " + view), std::runtime_error);
  }
  for (const std::string table : {"session", "study", "instance", "lease", "leadership"}) {
    EXPECT_THROW(as_auditor("SELECT * FROM " + table), std::runtime_error);
  }
  store_->RowsForAdministrator("DROP OWNED BY auditor; DROP ROLE auditor");
}

TEST_P(QuestionsTest, ProgressOfTheSessions) {
  EXPECT_THAT(
      Answers("How far are the sessions?"),
      ElementsAre("FIRST|complete|PACS|pacs.example|104|2026-11-16T18:13:20.000Z|2026-11-16T18:46:40.000Z|1|1|0|0|0\n"
                  "SESSION|sending|PACS|pacs.example|104|2026-11-28T08:00:00.000Z|NULL|11|3|3|2|3\n"));
}

TEST_P(QuestionsTest, FailuresWithReasons) {
  const auto answers = Answers("What failed, and why?");
  EXPECT_THAT(
      answers,
      ElementsAre(
          "/data/b/1|1.2.1|C000|cannot understand|C000 (cannot understand)|1|WORKER|2026-11-28T08:04:00.000Z\n"
          "/data/b/3|1.2.3|NULL|NULL|the association was lost|1|WORKER|2026-11-28T08:05:00.000Z\n"
          "/data/b/5||NULL|NULL|no SOP Instance UID|0|NULL|NULL\n",
          testing::AllOf(HasSubstr("C000|cannot understand|NULL|1\n"),
                         HasSubstr("NULL|NULL|no SOP Instance UID|1\n")),
          "WORKER|C000 (cannot understand)|1\nWORKER|the association was lost|1\n",
          "/data/b/3|1.2.3|the association was lost\n"));
}

TEST_P(QuestionsTest, MissingInstances) {
  EXPECT_THAT(Answers("What is missing?"),
              ElementsAre("1.2|NULL|sending|WORKER|2|5\n1.3|B-2|waiting|NULL|1|1\n",
                          "/data/b/2|delayed|A700 (out of resources)|1|WORKER\n/data/b/4|pending|NULL|0|WORKER\n"
                          "/data/c/1|pending|NULL|0|NULL\n",
                          "1.2|NULL|2|3\n1.3|B-2|1|0\n"));
}

TEST_P(QuestionsTest, ArrivalOfAnAccession) {
  EXPECT_THAT(Answers("When did this accession arrive?"),
              ElementsAre("FIRST|1.1|1|1|2026-11-16T18:30:00.000Z|2026-11-16T18:30:00.000Z\n"
                          "SESSION|1.1|2|2|2026-11-28T08:02:00.000Z|2026-11-28T09:01:00.000Z\n",
                          "PACS|pacs.example|complete|1|0|0|0|2026-11-16T18:30:00.000Z\n"
                          "PACS|pacs.example|complete|2|0|0|0|2026-11-28T09:01:00.000Z\n"));
}

TEST_P(QuestionsTest, ArrivalOfAStudy) {
  const auto answers = Answers("When did this study arrive?");
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_THAT(answers[0], HasSubstr("SESSION|1.4.1|stored|0000|2026-11-28T09:02:00.000Z\n"));
  EXPECT_THAT(answers[0], HasSubstr("SESSION|1.4.1|skipped|NULL|NULL\n"));
}

TEST_P(QuestionsTest, StatusesOfTheDestination) {
  EXPECT_THAT(Answers("What did the destination answer, counted by status?"),
              ElementsAre("0000|success|stored|2\nA700|out of resources|delayed|1\n"
                          "B000|coercion of data elements|stored_with_warning|1\nC000|cannot understand|failed|1\n"));
  EXPECT_THAT(Answers("What was sent with a warning?"),
              ElementsAre("/data/a/2|1.1.2|B000|coercion of data elements|2026-11-28T09:01:00.000Z\n"));
}

TEST_P(QuestionsTest, DuplicatesAndResends) {
  EXPECT_THAT(
      Answers("What was found more than once?"),
      ElementsAre(
          "/data/d/2|1.4.1|1000|duplicate of /data/d/1\n"
          "/data/d/3|1.4.1|7|conflict with /data/d/1, which has the same SOP Instance UID: (7FE0,0010) differs\n",
          "STUDY|B-3|1\n"));
  EXPECT_THAT(Answers("What may have been sent twice?"), ElementsAre("1.2|NULL|1\n"));
}

TEST_P(QuestionsTest, InstancesOfAWorker) {
  EXPECT_THAT(Answers("What did this worker send?"),
              ElementsAre("FIRST|1.1|stored|1|2026-11-16T18:30:00.000Z\n"
                          "SESSION|1.1|stored|1|2026-11-28T08:02:00.000Z\n"
                          "SESSION|1.1|stored_with_warning|1|2026-11-28T09:01:00.000Z\n"
                          "SESSION|1.2|delayed|1|NULL\n"
                          "SESSION|1.2|failed|2|2026-11-28T08:05:00.000Z\n",
                          "SESSION|1.1|complete|2|2026-11-28T09:01:00.000Z|0\n"
                          "SESSION|1.2|sending|0|2026-11-28T08:05:00.000Z|1\n"));
}

TEST_P(QuestionsTest, ThroughputPerHour) {
  const auto answers = Answers("How much was sent in each hour?");
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_THAT(answers[0], testing::MatchesRegex("2026-11-28T08[^|]*\\|1\\|0\n2026-11-28T09[^|]*\\|2\\|0\n"));
  EXPECT_THAT(Answers("What went to an archive in November?"),
              ElementsAre("1.1|ACCESSION|3|2026-11-28T09:01:00.000Z\nSTUDY|B-3|1|2026-11-28T09:02:00.000Z\n"));
}

}  // namespace
}  // namespace dicom_sender
