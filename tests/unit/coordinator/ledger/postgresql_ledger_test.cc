// Runs the ledger's contract with PostgreSQL. What only a server can do is in postgresql_faults_test.cc.
#include "coordinator/ledger/postgresql/postgresql_ledger.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <array>
#include <functional>
#include <utility>
#include <vector>

#include "tests/support/postgresql_server.h"
#include "tests/unit/coordinator/ledger/copies_contract.h"
#include "tests/unit/coordinator/ledger/ledger_file.h"

namespace dicom_sender {
namespace {

constexpr Duration kLeaderTimeout = std::chrono::seconds(30);

// A temporary database. Opening the ledger takes over the leadership.
class PostgresqlStore : public LedgerStore {
 public:
  PostgresqlStore()
      : database_(PostgresqlServer::Shared().CreateDatabase()),
        options_{.uri = PostgresqlServer::Shared().Uri(database_), .leader_timeout = kLeaderTimeout} {}

  const std::string& database() const { return database_; }

  std::unique_ptr<Ledger> Open() override {
    auto leadership = OpenLeadership(options_);
    if (!leadership) throw std::runtime_error(leadership.error().sentence);
    const auto taken = (*leadership)->Take((*leadership)->Look(), "test");
    if (!taken) throw std::runtime_error("another one leads");
    auto ledger = OpenPostgresqlLedger(options_, taken->epoch);
    if (!ledger) throw std::runtime_error(ledger.error().sentence);
    return *std::move(ledger);
  }

 private:
  const std::string database_;
  const PostgresqlOptions options_;
};

std::vector<MakeLedgerStore> Stores() {
  if (!PostgresqlServer::Available()) return {};
  return {[] { return std::make_unique<PostgresqlStore>(); }};
}

INSTANTIATE_TEST_SUITE_P(Postgresql, LedgerContract, testing::ValuesIn(Stores()));
INSTANTIATE_TEST_SUITE_P(Postgresql, CopiesContract, testing::ValuesIn(Stores()));
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(LedgerContract);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(CopiesContract);

TEST(PostgresqlLedgerTest, TheContractTestsCanRun) {
  if (!PostgresqlServer::Available()) GTEST_SKIP() << PostgresqlServer::WhyUnavailable();
}

class PostgresqlMigrationTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!PostgresqlServer::Available()) GTEST_SKIP() << PostgresqlServer::WhyUnavailable();
    old_ = std::make_unique<PostgresqlStore>();
    Rows(*old_, "SET ROLE dicom_sender;" + LedgerDump("postgresql_schema_1.sql"));
  }
  static std::string Rows(const PostgresqlStore& store, const std::string& sql) {
    return PostgresqlServer::Shared().Query(store.database(), sql);
  }

  std::unique_ptr<PostgresqlStore> old_;
};

TEST_F(PostgresqlMigrationTest, ALedgerOfTheFirstSchemaHasTheColumnsOfANewOne) {
  PostgresqlStore fresh;
  fresh.Open();
  old_->Open();
  const std::string columns =
      "SELECT string_agg(format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default),"
      " E'\\n' ORDER BY table_name, column_name) FROM information_schema.columns WHERE table_schema = 'public'";
  EXPECT_EQ(Rows(*old_, columns), Rows(fresh, columns));
  const std::string version = "SELECT version FROM ledger_schema";
  EXPECT_EQ(Rows(*old_, version), Rows(fresh, version));
}

TEST_F(PostgresqlMigrationTest, ConflictsHaveTheirOwnState) {
  const auto ledger = old_->Open();
  const auto session = ledger->FindSession("aaaaaaaa-0000-4000-8000-000000000001").value();
  EXPECT_EQ(ledger->Report(session.key, std::array{InstanceState::kConflict}, {}, 10).size(), 1U);
  EXPECT_EQ(ledger->Report(session.key, std::array{InstanceState::kSkipped}, {}, 10).size(), 1U);
}

TEST_F(PostgresqlMigrationTest, AbandonedInstancesArePending) {
  const std::string others =
      "SELECT string_agg(format('%s %s %s %s %s %s %s', study, idx, state, attempts, status, reason, outcome_ms), ','"
      " ORDER BY study, idx) FROM instance WHERE (study <> 5 OR idx <> 1) AND (study <> 1 OR idx <> 6)";
  const std::string before = Rows(*old_, others);
  const auto ledger = old_->Open();
  EXPECT_EQ(Rows(*old_, others), before);
  const SessionRecord session = ledger->FindSession("cccccccc-0000-4000-8000-000000000003").value();
  const auto studies = ledger->Studies(session.key, 0, 10);
  ASSERT_EQ(studies.size(), 1U);
  for (const Counts& counts : {session.counts, studies[0].counts}) {
    EXPECT_EQ(counts.total, 2U);
    EXPECT_EQ(counts.stored, 1U);
    EXPECT_EQ(counts.failed, 0U);
    EXPECT_EQ(counts.unsettled(), 1U);
    EXPECT_EQ(counts.settled_bytes, 1000U);
  }
  EXPECT_EQ(ledger->LoadPage(studies[0].key, 1, 0, 10).instances_size(), 1);
  EXPECT_EQ(Rows(*old_, "SELECT reason FROM instances WHERE sop_instance_uid = '1.4.1.1'"), "connection refused");
  EXPECT_EQ(Rows(*old_, "SELECT count(reason) FROM instance WHERE study = 5"), "0");
}

// The server chooses its plans from statistics; the plans must be good whatever the statistics say.
class PostgresqlPlanTest : public testing::Test {
 protected:
  static constexpr SessionKey kLarge = 1, kSmall = 2, kManyRoots = 3;
  static constexpr StudyKey kStudyOfSmall = 20'020, kStudyOfManyRoots = 20'021;
  static constexpr std::uint64_t kFewRows = 1000;

  void SetUp() override {
    if (!PostgresqlServer::Available()) GTEST_SKIP() << PostgresqlServer::WhyUnavailable();
    store_ = std::make_unique<PostgresqlStore>();
    store_->Open();
    // Creates two sessions with one root and one pair each, and another one with many.
    Sql("INSERT INTO session (uuid, settings, state, start_ms) SELECT n, '', 1, 0 FROM generate_series(1, 3) n;"
        "INSERT INTO root (session, path) VALUES (1, '/data');"
        "INSERT INTO pair (sop_class, transfer_syntax) VALUES ('1.2', '1.3');"
        "INSERT INTO study (session, uid, total, failed) SELECT CASE WHEN n <= 20000 THEN 1 ELSE 2 END,"
        "  n, 4, 2 FROM generate_series(1, 20020) n;" +
        Instances("(ARRAY[0, 1, 4, 4])[n + 1]", "1", "study, generate_series(0, 3) n"));
    Sql("VACUUM ANALYZE");
    Sql("INSERT INTO root (session, path) SELECT 3, ('/data/' || n)::bytea FROM generate_series(1, 100) n;"
        "INSERT INTO pair (sop_class, transfer_syntax) SELECT n, '1.3' FROM generate_series(1, 100) n;"
        "INSERT INTO study (session, uid, total) VALUES (3, 'roots', 100);" +
        Instances("0", "2 + n", "(VALUES (20021)) s(key), generate_series(0, 99) n"));
  }

  // Returns how many rows and index entries are read.
  template <class Work>
  std::uint64_t RowsRead(Work work) {
    auto ledger = store_->Open();
    WaitForConnections("1");
    Sql("SELECT pg_stat_reset()");
    ledger->Begin();
    work(*ledger);
    ledger->Commit();
    ledger.reset();  // a connection reports its reads when it ends
    WaitForConnections("0");
    return std::stoull(
        Sql("SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes) +"
            " (SELECT sum(seq_tup_read) FROM pg_stat_user_tables)"));
  }
  void WaitForConnections(const std::string& count) {
    while (Sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'dicom_sender'"
               " AND datname = current_database()") != count) {
    }
  }
  std::string Sql(const std::string& sql) { return PostgresqlServer::Shared().Query(store_->database(), sql); }

 private:
  static std::string Instances(const std::string& state, const std::string& root_and_pair, const std::string& from) {
    return fmt::format(
        "INSERT INTO instance (study, idx, state, root, pair, size, mtime, data_offset, sop_instance, path)"
        " SELECT key, n, {0}, {1}, {1}, 1, 1, 1, key || '.' || n, '' FROM {2};",
        state, root_and_pair, from);
  }

  std::unique_ptr<PostgresqlStore> store_;
};

TEST_F(PostgresqlPlanTest, QueriesOfASmallSessionDoNotReadALargeOne) {
  const std::vector<std::pair<std::string, std::function<void(Ledger&)>>> questions = {
      {"Studies", [](Ledger& ledger) { EXPECT_EQ(ledger.Studies(kSmall, 0, 10).size(), 10U); }},
      {"UnsettledStudies", [](Ledger& ledger) { EXPECT_EQ(ledger.UnsettledStudies(kSmall, 0, 10).size(), 10U); }},
      {"LeasedStudies", [](Ledger& ledger) { EXPECT_EQ(ledger.LeasedStudies(kSmall).size(), 0U); }},
      {"CountFailureReasons",
       [](Ledger& ledger) { EXPECT_EQ(ledger.CountFailureReasons(kSmall, 10).most_frequent.at(0).instances, 40U); }},
      {"PairCounts", [](Ledger& ledger) { EXPECT_EQ(ledger.PairCounts(kSmall).at(0).instances, 40U); }},
      {"Report",
       [](Ledger& ledger) {
         const std::array states{InstanceState::kFailed};
         EXPECT_EQ(ledger.Report(kSmall, states, {}, 10).size(), 10U);
       }},
      {"FailStudy", [](Ledger& ledger) { EXPECT_EQ(ledger.FailStudy(kStudyOfSmall, "refused", At(1)), 2U); }},
      {"Requeue", [](Ledger& ledger) { EXPECT_EQ(ledger.Requeue(kSmall, {}).size(), 20U); }},
      {"AddStudies",
       [](Ledger& ledger) {
         EXPECT_EQ(ledger.AddStudies(kSmall, Batch("new", {{.path = "a", .sop_instance_uid = "a"}})).size(), 1U);
       }},
  };
  for (const auto& [name, ask] : questions) {
    EXPECT_LT(RowsRead(ask), kFewRows) << name;
  }
}

// A page must not be found by reading all earlier ones, and its roots and pairs are looked up per instance.
TEST_F(PostgresqlPlanTest, APageOfALargeSessionReadsOnlyThatPage) {
  constexpr StudyKey kLate = 19'000;
  const std::vector<std::pair<std::string, std::function<void(Ledger&)>>> questions = {
      {"Studies", [](Ledger& ledger) { EXPECT_EQ(ledger.Studies(kLarge, kLate, 100).size(), 100U); }},
      {"UnsettledStudies",
       [](Ledger& ledger) { EXPECT_EQ(ledger.UnsettledStudies(kLarge, kLate, 100).size(), 100U); }},
      {"Report",
       [](Ledger& ledger) {
         const std::array states{InstanceState::kFailed};
         EXPECT_EQ(ledger.Report(kLarge, states, {kLate, 0}, 100).size(), 100U);
       }},
      {"Requeue",
       [](Ledger& ledger) { EXPECT_EQ(ledger.Requeue(kLarge, {.study_instance_uid = "19000"}).size(), 1U); }},
  };
  for (const auto& [name, ask] : questions) {
    EXPECT_LT(RowsRead(ask), kFewRows) << name;
  }
}

TEST_F(PostgresqlPlanTest, RootsAndPairsAreReadOnlyForTheRowsOfAPage) {
  const std::vector<std::pair<std::string, std::function<void(Ledger&)>>> questions = {
      {"LoadPage",
       [](Ledger& ledger) { EXPECT_EQ(ledger.LoadPage(kStudyOfManyRoots, 1, 0, 100).instances_size(), 100); }},
      {"Report",
       [](Ledger& ledger) {
         const std::array states{InstanceState::kPending};
         EXPECT_EQ(ledger.Report(kManyRoots, states, {}, 100).size(), 100U);
       }},
      {"PairCounts", [](Ledger& ledger) { EXPECT_EQ(ledger.PairCounts(kManyRoots).size(), 100U); }},
  };
  for (const auto& [name, ask] : questions) {
    EXPECT_LT(RowsRead(ask), kFewRows) << name;
  }
}

TEST(PostgresqlTextTest, ArbitraryBytesSurviveARoundTrip) {
  using std::string_literals::operator""s;
  for (const std::string& bytes : {""s, "1.2.840"s, "Grüße"s, "a\\b"s, "a\0b"s, "\\x41"s, "\\"s, "\xE4\xFF"s,
                                   "\xEF\xBF\xBD"s, "\xC3"s, "\xF0\x9F\x98\x80"s, "\xF0\x9F\x98"s, "\\x00\0\\"s}) {
    const std::string text = EncodedText(bytes);
    EXPECT_EQ(DecodedText(text), bytes) << text;
    EXPECT_EQ(text.find('\0'), std::string::npos);
  }
  EXPECT_EQ(EncodedText("Grüße"), "Grüße");
  EXPECT_EQ(EncodedText("a\0\xE4\\"s), "a\\x00\\xE4\\\\");
  EXPECT_EQ(DecodedText("by hand \\xZZ \\"), "by hand \\ZZ \\") << "nothing is thrown";
}

TEST(PostgresqlCopyTest, ANumberThatDoesNotFitIsAnError) {
  PostgresqlCopy rows;
  EXPECT_NO_THROW(rows.Smallint(32'767));
  EXPECT_NO_THROW(rows.Smallint(-32'768));
  EXPECT_NO_THROW(rows.Integer(2'147'483'647));
  EXPECT_THROW(rows.Smallint(32'768), LedgerError);
  EXPECT_THROW(rows.Integer(2'147'483'648), LedgerError);
  EXPECT_THROW(rows.Integer(-2'147'483'649), LedgerError);
}

}  // namespace
}  // namespace dicom_sender
