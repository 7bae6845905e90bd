// Copies a ledger from SQLite to PostgreSQL. The copy has the same content and can be continued.
#include "programs/ledger/copy.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <libpq-fe.h>

#include <algorithm>
#include <array>
#include <future>

#include "coordinator/ledger/postgresql/postgresql_ledger.h"
#include "coordinator/ledger/sqlite/sqlite_ledger.h"
#include "tests/support/connection_cutter.h"
#include "tests/support/postgresql_server.h"
#include "tests/unit/coordinator/ledger/ledger_contract.h"
#include "tests/unit/coordinator/ledger/ledger_file.h"

namespace dicom_sender {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

using Kind = CopyTrouble::Kind;
using Moment = ConnectionCutter::Moment;

constexpr Duration kLeaderTimeout = seconds(30);
constexpr std::array kStates = {InstanceState::kPending,           InstanceState::kDelayed, InstanceState::kStored,
                                InstanceState::kStoredWithWarning, InstanceState::kFailed,  InstanceState::kSkipped};
// Text and names as they occur in files, with characters that are special in COPY.
constexpr const char* kOddText = "tab\there, line\nthere\r, back\\slash, \\N, \\., \xC3\xA4, \xFF";

std::string Told(const Counts& c) {
  return fmt::format("{} {} {} {} {} {} {} {} {} {} {} {} {}", c.total, c.stored, c.warned, c.failed, c.skipped,
                     c.conflicts, c.retries, c.resends, c.total_bytes, c.stored_bytes, c.settled_bytes, c.store_us,
                     c.associations);
}
std::string Told(const std::optional<WallTime>& time) { return time ? FormatRfc3339(*time) : "never"; }

std::string Told(Ledger& ledger, const StudyRecord& s) {
  std::string text = fmt::format("study {} {} {} [{}] {} {} {} {} {} {} {}\n", s.key, s.session, s.uid,
                                 Told(s.counts), s.unsettled_bytes, s.lease, s.lease_worker, s.page_end,
                                 s.suspect_end, Told(s.first_lease_time), Told(s.last_outcome_time));
  std::vector<std::string> pairs;
  for (const auto& pair : ledger.ContextPairs(s.key, 100)) pairs.push_back(pair.ShortDebugString());
  text += fmt::format("{}\n{}\n", fmt::join(pairs, "; "), ledger.LoadPage(s.key, 1, 0, 1000).ShortDebugString());
  std::vector<std::uint32_t> indices(s.counts.total);
  for (std::uint32_t i = 0; i < indices.size(); ++i) indices[i] = i;
  for (const InstanceFacts& facts : ledger.LoadInstances(s.key, indices)) {
    text +=
        fmt::format("{} {} {} {}; ", facts.index, static_cast<int>(facts.state), facts.attempts, facts.may_be_stored);
  }
  return text + '\n';
}

std::string Told(Ledger& ledger, SessionKey key) {
  const SessionRecord s = ledger.LoadSession(key);
  std::string text = fmt::format("session {} {} {} {} {} {} {} {} {} [{}]\n", s.key, s.settings.ShortDebugString(),
                                 static_cast<int>(s.state), s.end_reason, s.ending ? static_cast<int>(*s.ending) : -1,
                                 s.scan_complete, Told(s.start_time), Told(s.end_time), s.studies, Told(s.counts));
  for (const auto& [reason, files] : s.ignored) text += fmt::format("ignored {} {}\n", reason, files);
  for (const ScanRecord& scan : ledger.Scans(key)) text += fmt::format("scan {} {}\n", scan.indexer, scan.complete);
  for (const StudyRecord& study : ledger.Studies(key, 0, 1000)) text += Told(ledger, study);
  for (const StudyRecord& study : ledger.LeasedStudies(key)) text += fmt::format("leased {}\n", study.key);
  for (const StudyFeed& study : ledger.UnsettledStudies(key, 0, 1000)) {
    text += fmt::format("unsettled {} {} {}\n", study.study, study.pending, study.pending_bytes);
  }
  for (const auto& i : ledger.Report(key, kStates, {}, 1000)) {
    text +=
        fmt::format("instance {} {} {} {} {} {} {} {} {}\n", i.study, i.index, i.path, i.study_instance_uid,
                    i.sop_instance_uid, i.status ? static_cast<int>(*i.status) : -1, i.reason, i.attempts, i.worker);
  }
  for (const auto& reason : ledger.CountFailureReasons(key, 100).most_frequent) {
    text += fmt::format("reason {} {}\n", reason.reason, reason.instances);
  }
  for (const auto& pair : ledger.PairCounts(key)) {
    text += fmt::format("pair {} {}\n", pair.pair.ShortDebugString(), pair.instances);
  }
  const WorkerCount workers = ledger.Workers(key);
  return text + fmt::format("workers {} {}\n", workers.workers, workers.threads);
}

// Returns everything that a coordinator can query.
std::string Told(Ledger& ledger) {
  std::string text;
  for (const SessionKey session : ledger.Sessions()) text += Told(ledger, session);
  for (LeaseId id = 1; id <= ledger.LastLeaseId(); ++id) {
    const auto lease = ledger.FindLease(id);
    if (!lease) continue;
    text += fmt::format("lease {} {} {} {} {} {} {} {}\n", lease->id, lease->session, lease->study, lease->worker,
                        lease->identity, lease->suspect_end, lease->last_report_seq, lease->associations);
  }
  return text;
}

class LedgerCopyTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!PostgresqlServer::Available()) GTEST_SKIP() << PostgresqlServer::WhyUnavailable();
    database_ = PostgresqlServer::Shared().CreateDatabase();
    Fill(*OpenFile());
  }

  std::unique_ptr<Ledger> OpenFile() const {
    auto opened = OpenSqliteLedger(file_.path());
    if (!opened) throw std::runtime_error(opened.error());
    return *std::move(opened);
  }
  std::string Uri() const { return PostgresqlServer::Shared().Uri(database_); }
  PostgresqlOptions Options() const { return {.uri = Uri(), .leader_timeout = kLeaderTimeout}; }
  std::uint64_t Lead() const {
    const auto leadership = OpenLeadership(Options());
    if (!leadership) throw std::runtime_error(leadership.error().sentence);
    const auto taken = (*leadership)->Take((*leadership)->Look(), "test");
    if (!taken) throw std::runtime_error("another one leads");
    return taken->epoch;
  }
  std::unique_ptr<Ledger> OpenCopy() const {
    auto opened = OpenPostgresqlLedger(Options(), Lead());
    if (!opened) throw std::runtime_error(opened.error().sentence);
    return *std::move(opened);
  }
  auto Copy() const {
    return CopyLedger(file_.path(), Uri(), [](const std::string&, std::uint64_t, const LedgerContent&) {});
  }
  // Copies through a connection that is cut at COMMIT.
  auto CopyThroughACut(Moment moment, ConnectionCutter::Passage afterwards = ConnectionCutter::Passage::kOpen) const {
    ConnectionCutter cutter(PostgresqlServer::Shared().port());
    cutter.CutAt("COMMIT", moment, afterwards);
    // Creates the schema first, so that the first COMMIT is that of the copy.
    { const auto schema = OpenLeadership(Options()); }
    return CopyLedger(
        file_.path(), PostgresqlServer::Shared().Uri(database_, cutter.port()),
        [](const std::string&, std::uint64_t, const LedgerContent&) {}, seconds(2));
  }
  std::string Rows(const std::string& sql) const { return PostgresqlServer::Shared().Query(database_, sql); }

  // Creates one of each: two sessions, one of which has ended; every state; leases in force, lost, and given back.
  static void Fill(Ledger& ledger) {
    wire::OpenSession settings;
    settings.set_session("ended");
    ledger.Begin();
    const SessionKey ended = ledger.CreateSession(settings, At(1000)).key;
    std::uint64_t scan = 7;
    ledger.BeginScan(ended, kOddText, scan);
    ledger.CompleteScan(ended, kOddText, scan, {{"not_dicom", 3}, {"empty", 4}});
    std::vector<File> files;
    for (int i = 0; i < 9; ++i) {
      const std::string uid = "1.2.3." + std::to_string(i);
      files.push_back({.path = uid, .sop_instance_uid = uid, .size_bytes = 1000U + static_cast<unsigned>(i)});
    }
    files[7].sop_instance_uid = files[6].sop_instance_uid;  // a conflict
    files[8].defect = "truncated";
    files.push_back({.path = kOddText, .sop_instance_uid = "odd", .root = "/\xFE\t", .sop_class_uid = "1.2.9"});
    const StudyKey study = ledger.AddStudies(ended, Batch("1.2.3", files))[0].study;
    ledger.AddStudies(ended, Batch("", {{.path = "none", .sop_instance_uid = ""}}));
    ledger.GrantLease(study, 3, kOddText, kIdentity, 5, At(2000));
    ledger.SetPageEnd(study, 4);
    const InstanceChange changes[] = {{.study = study,
                                       .index = 0,
                                       .state = InstanceState::kStored,
                                       .attempts = 1,
                                       .status = {},
                                       .reason = {},
                                       .duration_us = 700},
                                      {.study = study,
                                       .index = 1,
                                       .state = InstanceState::kStoredWithWarning,
                                       .attempts = 2,
                                       .status = 0xB000,
                                       .reason = kOddText,
                                       .duration_us = 800,
                                       .resend = true},
                                      {.study = study,
                                       .index = 2,
                                       .state = InstanceState::kFailed,
                                       .attempts = 1,
                                       .status = 0xC000,
                                       .reason = "no",
                                       .worker = kOddText},
                                      {.study = study,
                                       .index = 3,
                                       .state = InstanceState::kDelayed,
                                       .attempts = 1,
                                       .status = 0xA700,
                                       .reason = "full",
                                       .may_be_stored = true,
                                       .worker = "w"}};
    ReadAndChange(ledger, {std::begin(changes), std::end(changes)}, At(3000));
    ledger.RecordReport(*ledger.FindLease(3), 9, 2);
    ledger.EndLease(study, false);
    ledger.SetSessionState(ended, wire::SESSION_CANCELLED, kOddText, At(4000));

    settings.set_session("open");
    const SessionKey open = ledger.CreateSession(settings, At(5000)).key;
    const StudyKey leased =
        ledger.AddStudies(open, Batch("1.2.4", {{.path = "a", .sop_instance_uid = "a"}}))[0].study;
    ledger.AddStudies(open, Batch("1.2.5", {{.path = "b", .sop_instance_uid = "b"}}));
    ledger.GrantLease(leased, 4, "w", "", 1, At(6000));
    ledger.SetEnding(open, wire::SESSION_CANCELLED);
    ledger.Commit();
  }

  LedgerFile file_;
  std::string database_;
};

TEST_F(LedgerCopyTest, TheCopyEqualsTheFile) {
  const std::string told = Told(*OpenFile());
  const auto copied = Copy();
  ASSERT_TRUE(copied) << copied.error().sentence;
  EXPECT_EQ(Told(*OpenCopy()), told);
  EXPECT_EQ(Told(*OpenFile()), told) << "and the file is unchanged";

  EXPECT_EQ(copied->sessions, 2U);
  EXPECT_EQ(copied->studies, 4U);
  EXPECT_EQ(copied->instances, (std::array<std::uint64_t, 6>{7, 1, 1, 1, 2, 1}));
}

TEST_F(LedgerCopyTest, TheCopyCanBeContinued) {
  ASSERT_TRUE(Copy());
  const auto ledger = OpenCopy();
  const SessionKey open = ledger->FindSession("open").value().key;
  const auto studies = ledger->Studies(open, 0, 10);
  wire::OpenSession settings;
  settings.set_session("new");

  ledger->Begin();
  const SessionKey session = ledger->CreateSession(settings, At(7000)).key;
  EXPECT_GT(session, open);
  const auto known = ledger->AddStudies(open, Batch("1.2.5", {{.path = "b", .sop_instance_uid = "b"}}));
  const auto copy = ledger->AddStudies(open, Batch("1.2.5", {{.path = "c", .sop_instance_uid = "a"}}));
  const auto fed = ledger->AddStudies(
      open, Batch("1.2.6", {{.path = "d", .sop_instance_uid = "d", .root = "/new", .sop_class_uid = "1.2.10"}}));
  ledger->GrantLease(studies[1].key, ledger->LastLeaseId() + 1, "w", "", 1, At(8000));
  ledger->Commit();

  EXPECT_EQ(ledger->LoadStudy(studies[1].key).counts.total, 2U) << "a known file was added again";
  EXPECT_EQ(ledger->LoadStudy(studies[1].key).counts.skipped, 1U) << "the copy was not recognized";
  ASSERT_EQ(fed.size(), 1U);
  EXPECT_GT(fed[0].study, studies[1].key);
  EXPECT_EQ(ledger->LastLeaseId(), 5U);
  const wire::Page page = ledger->LoadPage(fed[0].study, 1, 0, 10);
  ASSERT_EQ(page.instances_size(), 1);
  EXPECT_EQ(page.roots(0).path(), "/new");
  EXPECT_EQ(page.instances(0).sop_class_uid(), "1.2.10");
}

TEST_F(LedgerCopyTest, IsRefusedIfTheDatabaseHasSessions) {
  ASSERT_TRUE(Copy());
  const std::string told = Told(*OpenCopy());
  const auto again = Copy();
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().kind, Kind::kRefused);
  EXPECT_THAT(again.error().sentence, HasSubstr("already has 2 sessions: name an empty database"));
  EXPECT_EQ(Told(*OpenCopy()), told);
}

TEST_F(LedgerCopyTest, IsRefusedWhileACoordinatorUsesTheFile) {
  const auto coordinator = OpenFile();
  const auto copied = Copy();
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().kind, Kind::kRefused);
  EXPECT_THAT(copied.error().sentence, HasSubstr("another process has it open"));
}

TEST_F(LedgerCopyTest, ALeaderOnTheDatabaseIsDeposed) {
  const auto leader = OpenCopy();
  ASSERT_TRUE(Copy());
  EXPECT_THROW(leader->Begin(), LedgerFenced);
}

TEST_F(LedgerCopyTest, ATakeoverWaitsForTheCopy) {
  const auto stand_by = OpenLeadership({.uri = Uri(), .leader_timeout = seconds(1)});
  ASSERT_TRUE(stand_by);
  const LeaderRecord seen = (*stand_by)->Look();
  const std::unique_ptr<PGconn, void (*)(PGconn*)> other(
      PQconnectdb(PostgresqlServer::Shared().UriOf("postgres", database_).c_str()), PQfinish);
  PQclear(PQexec(other.get(), "BEGIN; LOCK TABLE instance IN ACCESS EXCLUSIVE MODE"));  // blocks the copy
  auto copied = std::async(std::launch::async, [&] { return Copy(); });
  while (Rows("SELECT count(*) FROM pg_locks WHERE NOT granted") != "1") {
  }
  EXPECT_THROW((*stand_by)->Take(seen, "early"), LedgerError);
  PQclear(PQexec(other.get(), "ROLLBACK"));
  EXPECT_TRUE(copied.get());
  EXPECT_FALSE((*stand_by)->Take(seen, "late")) << "the ledger was replaced";
  EXPECT_TRUE((*stand_by)->Take((*stand_by)->Look(), "now"));
}

TEST_F(LedgerCopyTest, TheCopyIsAtomic) {
  { const auto schema = OpenLeadership(Options()); }
  Rows("ALTER TABLE instance ADD CHECK (status IS DISTINCT FROM 49152)");  // makes a row in the middle fail
  const auto copied = Copy();
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().kind, Kind::kServer);
  EXPECT_THAT(copied.error().sentence, HasSubstr("violates check constraint"));
  EXPECT_EQ(Rows("SELECT (SELECT count(*) FROM session) + (SELECT count(*) FROM instance)"), "0");
}

TEST_F(LedgerCopyTest, KeysContinueInAnySchema) {
  { const auto schema = OpenLeadership(Options()); }
  Rows("CREATE SCHEMA another; GRANT ALL ON SCHEMA another TO dicom_sender");
  Rows("ALTER DATABASE " + database_ + " SET search_path = another, public");
  const auto copied = Copy();
  ASSERT_TRUE(copied) << copied.error().sentence;
  const auto ledger = OpenCopy();
  wire::OpenSession settings;
  settings.set_session("new");
  ledger->Begin();
  EXPECT_EQ(ledger->CreateSession(settings, At(7000)).key, 3);
  ledger->Commit();
}

TEST_F(LedgerCopyTest, IsRefusedIfKeysCannotContinue) {
  { const auto schema = OpenLeadership(Options()); }
  Rows("ALTER TABLE pair ALTER id DROP IDENTITY");
  const auto copied = Copy();
  ASSERT_FALSE(copied);
  EXPECT_THAT(copied.error().sentence, HasSubstr("nothing was copied"));
  EXPECT_EQ(Rows("SELECT count(*) FROM session"), "0");
}

// --- the connection is lost at the end

TEST_F(LedgerCopyTest, ACommitWithALostAnswerIsDetected) {
  const std::string told = Told(*OpenFile());
  const auto copied = CopyThroughACut(Moment::kUnanswered);
  ASSERT_TRUE(copied) << copied.error().sentence;
  EXPECT_EQ(Told(*OpenCopy()), told);
}

TEST_F(LedgerCopyTest, ALostCommitIsDetected) {
  for (const Moment moment : {Moment::kBefore, Moment::kSwallowed}) {
    const auto copied = CopyThroughACut(moment);
    ASSERT_FALSE(copied);
    EXPECT_EQ(copied.error().kind, Kind::kServer);
    EXPECT_THAT(copied.error().sentence, HasSubstr("nothing was copied"));
    EXPECT_EQ(Rows("SELECT count(*) FROM session"), "0");
  }
}

TEST_F(LedgerCopyTest, AnUnknownOutcomeIsReported) {
  const auto copied = CopyThroughACut(Moment::kUnanswered, ConnectionCutter::Passage::kRefused);
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().kind, Kind::kUnknown);
  EXPECT_THAT(copied.error().sentence,
              HasSubstr("it is unknown whether all was copied: run it again, and it says so"));
  const auto again = Copy();
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().sentence, HasSubstr("already has 2 sessions"));
}

TEST_F(LedgerCopyTest, ManyBatchesAreCopiedCompletely) {
  constexpr std::uint32_t kInstances = 20'000;
  {
    const auto ledger = OpenFile();
    std::vector<File> files;
    for (std::uint32_t i = 0; i < kInstances; ++i) {
      files.push_back({.path = "many/" + std::to_string(i), .sop_instance_uid = "1.2.7." + std::to_string(i)});
    }
    ledger->Begin();
    ledger->AddStudies(ledger->FindSession("open").value().key, Batch("1.2.7", files));
    ledger->Commit();
  }
  const auto copied = Copy();
  ASSERT_TRUE(copied) << copied.error().sentence;
  EXPECT_EQ(copied->all_instances(), 13 + kInstances);
  EXPECT_EQ(Rows("SELECT count(DISTINCT idx), max(idx) FROM instance WHERE path LIKE 'many/%'"),
            fmt::format("{}|{}", kInstances, kInstances - 1));
}

}  // namespace
}  // namespace dicom_sender
