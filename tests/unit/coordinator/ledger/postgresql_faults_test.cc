// Tests the PostgreSQL ledger when the server, the network, a disk, or another coordinator interferes: committed data
// exists, uncommitted data does not, and the ledger reports which of them applies.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <libpq-fe.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <future>
#include <thread>

#include "common/wake_event.h"
#include "coordinator/ledger/postgresql/postgresql_ledger.h"
#include "tests/support/connection_cutter.h"
#include "tests/support/postgresql_server.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/coordinator/ledger/ledger_contract.h"

namespace dicom_sender {
namespace {

using Moment = ConnectionCutter::Moment;
using Passage = ConnectionCutter::Passage;
using StopMode = PostgresqlServer::StopMode;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

constexpr seconds kPatience{60};
constexpr Duration kLeaderTimeout = seconds(10);
constexpr Duration kShortTimeout = seconds(1);  // for tests that wait for it

// An independent connection as superuser.
class Session {
 public:
  explicit Session(const std::string& database)
      : connection_(PQconnectdb(PostgresqlServer::Shared().UriOf("postgres", database).c_str()), PQfinish) {}
  void Run(const char* sql) { PQclear(PQexec(connection_.get(), sql)); }
  void Send(const char* sql) { PQsendQuery(connection_.get(), sql); }  // does not wait for the answer

 private:
  std::unique_ptr<PGconn, void (*)(PGconn*)> connection_;
};

class PostgresqlFaultsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!PostgresqlServer::Available()) GTEST_SKIP() << PostgresqlServer::WhyUnavailable();
    database_ = Server().CreateDatabase();
    cutter_ = std::make_unique<ConnectionCutter>(Server().port());
  }

  static PostgresqlServer& Server() { return PostgresqlServer::Shared(); }
  std::string Query(const std::string& sql) const { return Server().Query(database_, sql); }
  // Waits until the server's answer is `expected`.
  bool Becomes(const std::string& sql, const std::string& expected) const {
    return Becomes(Server(), database_, sql, expected);
  }
  static bool Becomes(const PostgresqlServer& server, const std::string& database, const std::string& sql,
                      const std::string& expected) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (server.Query(database, sql) != expected) {
      if (std::chrono::steady_clock::now() > deadline) return false;
    }
    return true;
  }
  static void Configure(const PostgresqlServer& server, const std::string& name, const std::string& value) {
    server.Query("postgres", fmt::format("ALTER SYSTEM SET {} = '{}'", name, value));
    server.Query("postgres", "SELECT pg_reload_conf()");
    if (!Becomes(server, "postgres", "SHOW " + name, value)) throw std::runtime_error(name + " is not taken over");
  }
  std::string StudiesThere() const { return Query("SELECT count(*) FROM study"); }

  PostgresqlOptions Direct(Duration leader_timeout = kLeaderTimeout) const {
    return {.uri = Server().Uri(database_), .leader_timeout = leader_timeout};
  }
  PostgresqlOptions Breakable(Duration leader_timeout = kLeaderTimeout) const {
    return {.uri = Server().Uri(database_, cutter_->port()), .leader_timeout = leader_timeout};
  }

  static std::unique_ptr<Leadership> Watch(const PostgresqlOptions& options) {
    auto opened = OpenLeadership(options);
    if (!opened) throw std::runtime_error(opened.error().sentence);
    return *std::move(opened);
  }
  static std::uint64_t Take(Leadership& leadership, const std::string& name = "test") {
    const TimePoint deadline = MonotonicNow() + kPatience;  // the first call terminates a blocking transaction
    while (MonotonicNow() < deadline) {
      if (const auto taken = leadership.Take(leadership.Look(), name)) return taken->epoch;
    }
    throw std::runtime_error("it cannot be taken");
  }
  static std::unique_ptr<Ledger> Open(const PostgresqlOptions& options, std::uint64_t epoch) {
    auto opened = OpenPostgresqlLedger(options, epoch);
    if (!opened) throw std::runtime_error(opened.error().sentence);
    return *std::move(opened);
  }
  // Returns the ledger of a new leader, with a session.
  std::unique_ptr<Ledger> Lead(const PostgresqlOptions& options) {
    auto ledger = Open(options, Take(*Watch(options)));
    if (ledger->FindSession("session")) return ledger;
    wire::OpenSession settings;
    settings.set_session("session");
    ledger->Begin();
    session_ = ledger->CreateSession(settings, At(1000)).key;
    ledger->Commit();
    return ledger;
  }
  // Adds the study in the open transaction.
  void AddStudy(Ledger& ledger, const std::string& uid) const {
    ledger.AddStudies(session_, Batch(uid, {{.path = uid, .sop_instance_uid = uid}}));
  }
  void CommitStudy(Ledger& ledger, const std::string& uid) const {
    ledger.Begin();
    AddStudy(ledger, uid);
    ledger.Commit();
  }
  template <class Work>
  static std::string ErrorOf(Work work) {
    try {
      work();
    } catch (const LedgerError& error) {
      return error.what();
    }
    return "";
  }
  template <class Opened>
  static LedgerTrouble TroubleOf(const Opened& opened) {
    return opened ? LedgerTrouble{.sentence = "none"} : opened.error();
  }

  std::string database_;
  std::unique_ptr<ConnectionCutter> cutter_;
  SessionKey session_ = 0;
};

// --- outcome of a commit

TEST_F(PostgresqlFaultsTest, AConnectionLostBeforeTheCommitIsAnErrorAndNothingIsWritten) {
  const auto ledger = Lead(Breakable());
  ledger->Begin();
  AddStudy(*ledger, "1");
  cutter_->Cut();
  const std::string error = ErrorOf([&] {
    AddStudy(*ledger, "2");
    ledger->Commit();
  });
  EXPECT_THAT(error, HasSubstr("lost"));
  EXPECT_THAT(error, HasSubstr(database_));
  EXPECT_EQ(StudiesThere(), "0");
  CommitStudy(*Lead(Breakable()), "3");
  EXPECT_EQ(StudiesThere(), "1");
}

TEST_F(PostgresqlFaultsTest, ACommitThatNeverReachedTheServerIsAnError) {
  const auto ledger = Lead(Breakable());
  cutter_->CutAt("COMMIT", Moment::kBefore);
  EXPECT_THROW(CommitStudy(*ledger, "1"), LedgerError);
  EXPECT_TRUE(cutter_->WaitForCutAt(kPatience));
  EXPECT_EQ(StudiesThere(), "0");
}

TEST_F(PostgresqlFaultsTest, TheOutcomeOfACommitWithALostAnswerIsDetermined) {
  const auto ledger = Lead(Breakable());
  cutter_->CutAt("COMMIT", Moment::kUnanswered);
  CommitStudy(*ledger, "1");
  EXPECT_TRUE(cutter_->WaitForCutAt(kPatience));
  EXPECT_EQ(StudiesThere(), "1");
  CommitStudy(*ledger, "2");
  EXPECT_EQ(StudiesThere(), "2");
}

TEST_F(PostgresqlFaultsTest, AConnectionLostAfterTheCommitLosesNothing) {
  const auto ledger = Lead(Breakable());
  cutter_->CutAt("COMMIT", Moment::kAnswered);
  CommitStudy(*ledger, "1");
  EXPECT_TRUE(cutter_->WaitForCutAt(kPatience));
  EXPECT_EQ(StudiesThere(), "1");
  // No statement was in flight: the ledger either reconnects or reports an error.
  const std::string error = ErrorOf([&] { CommitStudy(*ledger, "2"); });
  EXPECT_EQ(StudiesThere(), error.empty() ? "2" : "1") << error;
}

TEST_F(PostgresqlFaultsTest, AnUnknownOutcomeIsAnErrorWithinABoundedTime) {
  const auto ledger = Lead(Breakable(kShortTimeout));
  cutter_->CutAt("COMMIT", Moment::kUnanswered, Passage::kRefused);
  const TimePoint began = MonotonicNow();
  const std::string error = ErrorOf([&] { CommitStudy(*ledger, "1"); });
  EXPECT_LT(MonotonicNow() - began, 20 * kShortTimeout);
  EXPECT_THAT(error, HasSubstr(database_));
  EXPECT_EQ(StudiesThere(), "1") << "the test must cover a committed transaction";
}

// The server still waits for the COMMIT. The ledger does not wait but terminates it: a transaction that can no longer
// commit is not committed.
TEST_F(PostgresqlFaultsTest, ACommitThatIsStillWaitingIsTerminatedAndAnError) {
  constexpr Duration kTimeout = seconds(60);  // after this time, the server itself would terminate it
  const auto ledger = Lead(Breakable(kTimeout));
  cutter_->CutAt("COMMIT", Moment::kSwallowed);
  const TimePoint began = MonotonicNow();
  const std::string error = ErrorOf([&] { CommitStudy(*ledger, "1"); });
  EXPECT_LT(MonotonicNow() - began, kTimeout / 2);
  EXPECT_THAT(error, HasSubstr("lost before a transaction was committed"));
  EXPECT_EQ(StudiesThere(), "0");
  CommitStudy(*Lead(Breakable()), "2");
  EXPECT_EQ(StudiesThere(), "1");
}

// The other server has a transaction with the same number.
TEST_F(PostgresqlFaultsTest, TheOutcomeIsNotQueriedOnAnotherServer) {
  PostgresqlServer other;
  Server().Query("postgres", "ALTER DATABASE " + database_ + " RENAME TO of_two_servers");
  database_ = "of_two_servers";
  other.Query("postgres", "CREATE DATABASE of_two_servers");
  other.Query("postgres", "DO $$BEGIN FOR i IN 1..20000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END$$");
  const auto ledger = Lead({.uri = fmt::format("postgresql://dicom_sender@127.0.0.1:{},127.0.0.1:{}/{}",
                                               cutter_->port(), other.port(), database_),
                            .leader_timeout = kLeaderTimeout});
  cutter_->CutAt("COMMIT", Moment::kBefore, Passage::kRefused);
  EXPECT_THAT(ErrorOf([&] { CommitStudy(*ledger, "1"); }), HasSubstr("could not be determined"));
  EXPECT_EQ(StudiesThere(), "0");
}

TEST_F(PostgresqlFaultsTest, TheOutcomeIsDeterminedAfterAServerCrash) {
  const auto ledger = Lead(Breakable(seconds(30)));
  cutter_->CutAt("COMMIT", Moment::kUnanswered, Passage::kHeld);
  auto committed = std::async(std::launch::async, [&] { CommitStudy(*ledger, "1"); });
  ASSERT_TRUE(cutter_->WaitForCutAt(kPatience));
  Server().Kill();
  Server().Start();
  cutter_->Set(Passage::kOpen);
  EXPECT_NO_THROW(committed.get());
  EXPECT_EQ(StudiesThere(), "1");
}

// The new leader sees the committed data, and the former leader is told that it is no longer the leader.
TEST_F(PostgresqlFaultsTest, ATakeoverAfterALostAnswerDoesNotHideTheCommit) {
  const auto ledger = Lead(Breakable(seconds(30)));
  cutter_->CutAt("COMMIT", Moment::kUnanswered, Passage::kHeld);
  auto committed = std::async(std::launch::async, [&] { return ErrorOf([&] { CommitStudy(*ledger, "1"); }); });
  ASSERT_TRUE(cutter_->WaitForCutAt(kPatience));
  Take(*Watch(Direct()));
  cutter_->Set(Passage::kOpen);
  EXPECT_EQ(committed.get(), "");
  EXPECT_EQ(StudiesThere(), "1");
  EXPECT_THROW(ledger->Begin(), LedgerError);
}

// --- the server

TEST_F(PostgresqlFaultsTest, AServerRestartIsDetectedAndKeepsCommittedData) {
  for (const bool kill : {false, true}) {
    SCOPED_TRACE(kill);
    const auto leadership = Watch(Direct());
    const auto ledger = Lead(Direct(kShortTimeout));  // limits the search for the outcome of the commit
    CommitStudy(*ledger, kill ? "1" : "2");
    const std::string committed = StudiesThere();
    ledger->Begin();
    AddStudy(*ledger, "open");
    kill ? Server().Kill() : Server().Stop(StopMode::kFast);
    EXPECT_THROW(ledger->Commit(), LedgerError);
    EXPECT_THROW(leadership->Look(), LedgerError);
    const LedgerTrouble trouble = TroubleOf(OpenLeadership(Direct()));
    EXPECT_TRUE(trouble.passing) << trouble.sentence;
    Server().Start();
    EXPECT_GT(leadership->Look().epoch, 0U) << "it connects again";
    EXPECT_EQ(StudiesThere(), committed);
    CommitStudy(*Lead(Direct()), kill ? "3" : "4");
  }
}

// Each of several hosts gets a part of the leader timeout, in any order.
TEST_F(PostgresqlFaultsTest, AHungHostIsSkipped) {
  cutter_->Set(Passage::kHeld);
  const TemporaryFolder folder;
  std::ofstream(folder / "services") << fmt::format("[two]\nhost=127.0.0.1,127.0.0.1\nport={},{}\n", cutter_->port(),
                                                    Server().port());
  setenv("PGSERVICEFILE", (folder / "services").c_str(), 1);
  for (const char* form :
       {"postgresql://dicom_sender@127.0.0.1:{0},127.0.0.1:{1}/{2}?target_session_attrs=read-write",
        "postgresql://dicom_sender@/{2}?hostaddr=127.0.0.1,127.0.0.1&port={0},{1}",
        "postgresql://dicom_sender@/{2}?service=two"}) {
    const std::string uri = fmt::format(fmt::runtime(form), cutter_->port(), Server().port(), database_);
    EXPECT_EQ(TroubleOf(OpenLeadership({.uri = uri, .leader_timeout = seconds(2)})).sentence, "none") << uri;
  }
  unsetenv("PGSERVICEFILE");
}

TEST_F(PostgresqlFaultsTest, TheWritableHostIsChosen) {
  PostgresqlServer other;
  const std::string database = other.CreateDatabase();
  Configure(other, "default_transaction_read_only", "on");
  const auto trouble_with = [&](const PostgresqlServer* second) {
    return TroubleOf(
        OpenLeadership({.uri = fmt::format("postgresql://dicom_sender@127.0.0.1:{},127.0.0.1:{}/{}", other.port(),
                                           second != nullptr ? second->port() : ReservedPort().number(), database),
                        .leader_timeout = kLeaderTimeout}));
  };
  PostgresqlServer second;
  ASSERT_EQ(second.CreateDatabase(), database);
  EXPECT_EQ(trouble_with(&second).sentence, "none");
  const LedgerTrouble trouble = trouble_with(nullptr);
  EXPECT_TRUE(trouble.passing);
  EXPECT_THAT(trouble.sentence, HasSubstr("read-only")) << "an error from a server is more specific than no answer";
}

TEST_F(PostgresqlFaultsTest, AnEndlessAnswerTimesOut) {
  Query(
      "CREATE FUNCTION chatter() RETURNS int LANGUAGE plpgsql AS"
      " $$BEGIN LOOP RAISE NOTICE 'still here'; END LOOP; END$$");
  PostgresqlConnection connection(Direct(), kPatience);
  connection.Connect();
  const TimePoint began = MonotonicNow();
  EXPECT_THAT(ErrorOf([&] { connection.Query("SELECT chatter()", {}, kShortTimeout); }),
              HasSubstr("does not answer"));
  EXPECT_LT(MonotonicNow() - began, kPatience / 2);
}

TEST_F(PostgresqlFaultsTest, TheServerDoesNotDisconnectAnIdleLeader) {
  Query("ALTER DATABASE " + database_ + " SET idle_session_timeout = '1h'");
  PostgresqlConnection connection(Direct(), kPatience);
  connection.Connect();
  EXPECT_EQ(connection.Query("SELECT current_setting('idle_session_timeout')").Text(0, 0), "0");
}

TEST_F(PostgresqlFaultsTest, ACommitThatDidNotWaitForReplicasIsAnError) {
  PostgresqlServer server;
  const PostgresqlOptions options{.uri = server.Uri(server.CreateDatabase()), .leader_timeout = kPatience};
  const auto ledger = Lead(options);
  Configure(server, "synchronous_standby_names", "nobody");
  auto error = std::async(std::launch::async, [&] { return ErrorOf([&] { CommitStudy(*ledger, "1"); }); });
  EXPECT_TRUE(Becomes(server, "postgres",
                      "SELECT bool_or(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
                      "t"));
  EXPECT_THAT(error.get(), HasSubstr("not on the server's replicas"));
}

TEST_F(PostgresqlFaultsTest, AMissingServerIsATransientError) {
  const LedgerTrouble trouble = TroubleOf(
      OpenLeadership({.uri = Server().Uri(database_, ReservedPort().number()), .leader_timeout = seconds(1)}));
  EXPECT_TRUE(trouble.passing);
  EXPECT_THAT(trouble.sentence, HasSubstr("cannot be reached"));
}

TEST_F(PostgresqlFaultsTest, ASilentServerIsATransientErrorWithinTheLeaderTimeout) {
  cutter_->Set(Passage::kHeld);
  const TimePoint began = MonotonicNow();
  const LedgerTrouble trouble = TroubleOf(OpenLeadership(Breakable(kShortTimeout)));
  EXPECT_TRUE(trouble.passing) << trouble.sentence;
  EXPECT_LT(MonotonicNow() - began, kPatience);
}

TEST_F(PostgresqlFaultsTest, GivingUpEndsAWaitAtOnce) {
  WakeEvent give_up;
  PostgresqlOptions options = Breakable(std::chrono::hours(1));
  options.give_up = &give_up;
  const auto ledger = Lead(options);
  ledger->Begin();
  cutter_->Set(Passage::kHeld);
  std::thread other([&] { give_up.Raise(); });
  EXPECT_THROW(
      {
        AddStudy(*ledger, "1");
        ledger->Commit();
      },
      LedgerError);
  other.join();
  cutter_->Cut();
  cutter_->Set(Passage::kOpen);
  EXPECT_TRUE(Becomes("SELECT count(*) FROM study", "0"));
}

TEST_F(PostgresqlFaultsTest, ATerminatedStatementIsAnErrorAndNothingIsWritten) {
  const auto ledger = Lead(Direct());
  Session other(database_);
  other.Run("BEGIN; LOCK TABLE instance IN ACCESS EXCLUSIVE MODE");
  auto error = std::async(std::launch::async, [&] { return ErrorOf([&] { CommitStudy(*ledger, "1"); }); });
  EXPECT_TRUE(
      Becomes("SELECT bool_or(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()"
              " AND usename = 'dicom_sender' AND wait_event_type = 'Lock'",
              "t"));
  EXPECT_THAT(error.get(), HasSubstr("took too long"));
  other.Run("ROLLBACK");
  EXPECT_EQ(StudiesThere(), "0");
}

TEST_F(PostgresqlFaultsTest, ADeadlockIsAnErrorAndNothingIsWritten) {
  const auto ledger = Lead(Direct());
  Session other(database_);
  other.Run("BEGIN; SET LOCAL deadlock_timeout = '1h'; LOCK TABLE instance IN ACCESS EXCLUSIVE MODE");
  ledger->Begin();
  ledger->LoadSession(session_);
  ledger->SetEnding(session_, wire::SESSION_CANCELLED);  // also locks the row
  other.Send("LOCK TABLE session IN ACCESS EXCLUSIVE MODE");
  ASSERT_TRUE(
      Becomes("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
              " AND usename = 'postgres' AND wait_event_type = 'Lock'",
              "1"));
  const std::string error = ErrorOf([&] {
    AddStudy(*ledger, "1");
    ledger->Commit();
  });
  EXPECT_THAT(error, HasSubstr("conflicted with another transaction"));
}

// The ledger must not depend on the defaults of database and user: with a stricter isolation level, each renewal
// would break other transactions.
TEST_F(PostgresqlFaultsTest, TheLedgerSetsTheIsolationLevel) {
  Query("ALTER DATABASE " + database_ + " SET default_transaction_isolation = 'serializable'");
  const auto ledger = Lead(Direct());
  const auto leadership = Watch(Direct());
  const std::uint64_t epoch = leadership->Look().epoch;
  for (const char* uid : {"1", "2", "3"}) {
    ledger->Begin();
    EXPECT_TRUE(leadership->Renew(epoch)) << "a renewal does not wait for a transaction";
    AddStudy(*ledger, uid);
    EXPECT_TRUE(leadership->Renew(epoch));
    ledger->Commit();
  }
  EXPECT_EQ(StudiesThere(), "3");
}

// Runs in a child process with a small private file system.
constexpr int kRight = 0, kWrong = 1, kNotPermitted = 77;

TEST_F(PostgresqlFaultsTest, AFullDiskIsReportedAndNoCommittedDataIsLost) {
  const auto work = [&] {
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      return kNotPermitted;
    }
    PostgresqlServer server;
    const std::string folder = server.folder() / "small";
    std::filesystem::create_directory(folder);
    const auto mount_tmpfs = [&](unsigned long flags, const char* size) {
      return mount("tmpfs", folder.c_str(), "tmpfs", flags, size) == 0;
    };
    if (!mount_tmpfs(0, "size=16m")) return kNotPermitted;
    struct stat owner {};
    if (stat(server.folder().c_str(), &owner) != 0 || chown(folder.c_str(), owner.st_uid, owner.st_gid) != 0) {
      return kWrong;
    }
    server.Query("postgres", "CREATE TABLESPACE small LOCATION '" + folder + "'");
    server.Query("postgres", "CREATE DATABASE small OWNER dicom_sender TABLESPACE small");
    const PostgresqlOptions options{.uri = server.Uri("small"), .leader_timeout = kLeaderTimeout};
    const auto ledger = Lead(options);
    std::uint64_t committed = 0;
    const std::string error = ErrorOf([&] {
      for (int study = 0; study < 1000; ++study) {
        std::vector<File> files;
        for (int i = 0; i < 1000; ++i) {
          const std::string uid = fmt::format("{}.{}", study, i);
          files.push_back({.path = uid, .sop_instance_uid = uid});
        }
        ledger->Begin();
        ledger->AddStudies(session_, Batch(std::to_string(study), files));
        ledger->Commit();
        committed += files.size();
      }
    });
    const auto has_all = [&] {
      return Open(options, Take(*Watch(options)))->LoadSession(session_).counts.total == committed &&
             server.Query("small", "SELECT count(*) FROM instance") == std::to_string(committed);
    };
    const bool said = error.find("disk is full; free some space; it continues by itself") != std::string::npos;
    if (!said) fmt::print(stderr, "after {} instances: {}\n", committed, error);
    const bool right = said && mount_tmpfs(MS_REMOUNT, "size=64m") && committed > 0 && has_all();
    server.Stop(StopMode::kImmediate);
    umount(folder.c_str());  // so that the server's folder can be removed
    return right ? kRight : kWrong;
  };
  const pid_t child = fork();
  if (child == 0) {
    int status = kWrong;
    try {
      status = work();
    } catch (const std::exception& error) {
      fmt::print(stderr, "{}\n", error.what());
    }
    _exit(status);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kNotPermitted) GTEST_SKIP() << "file systems may not be mounted here";
  EXPECT_EQ(WEXITSTATUS(status), kRight);
}

// --- permanent errors

TEST_F(PostgresqlFaultsTest, AReadOnlyDatabaseIsReportedAndRetried) {
  { const auto schema = Watch(Direct()); }
  Query("ALTER DATABASE " + database_ + " SET default_transaction_read_only = on");
  const LedgerTrouble trouble = TroubleOf(OpenLeadership(Direct()));
  EXPECT_TRUE(trouble.passing);
  EXPECT_THAT(trouble.sentence, HasSubstr("read-only"));
  EXPECT_THAT(TroubleOf(OpenPostgresqlLedger(Direct(), 1)).sentence, HasSubstr("read-only"));
}

TEST_F(PostgresqlFaultsTest, AWrongPasswordIsReportedAndNotShown) {
  const std::string user = "guarded_" + database_;
  Server().AddUserWithPassword(user, "right-one");
  Query("ALTER DATABASE " + database_ + " OWNER TO " + user);
  const PostgresqlOptions options{.uri = Server().UriOf(user, database_), .leader_timeout = kLeaderTimeout};
  const auto trouble_with = [&](const char* password) {
    password == nullptr ? unsetenv("PGPASSWORD") : setenv("PGPASSWORD", password, 1);
    LedgerTrouble trouble = TroubleOf(OpenLeadership(options));
    unsetenv("PGPASSWORD");
    return trouble;
  };
  for (const char* password : {"wrong-one", static_cast<const char*>(nullptr)}) {
    const LedgerTrouble trouble = trouble_with(password);
    EXPECT_FALSE(trouble.passing);
    EXPECT_THAT(trouble.sentence, HasSubstr("PGPASSWORD"));
    EXPECT_THAT(trouble.sentence, HasSubstr(user));
    EXPECT_THAT(trouble.sentence, Not(HasSubstr("wrong-one")));
    EXPECT_THAT(trouble.sentence, Not(HasSubstr("\n")));
  }
  EXPECT_EQ(trouble_with("right-one").sentence, "none");
}

// libpq reports one line per address, and the first one is not from the server that has answered.
TEST_F(PostgresqlFaultsTest, AWrongPasswordIsReportedEvenIfAnotherAddressIsDead) {
  Server().AddUserWithPassword("behind", "right-one");
  const std::string dead = std::to_string(ReservedPort().number());
  setenv("PGPASSWORD", "wrong-one", 1);
  const LedgerTrouble trouble = TroubleOf(OpenLeadership(
      {.uri = fmt::format("postgresql://behind@127.0.0.1:{},127.0.0.1:{}/{}", dead, Server().port(), database_),
       .leader_timeout = kLeaderTimeout}));
  unsetenv("PGPASSWORD");
  EXPECT_FALSE(trouble.passing);
  EXPECT_THAT(trouble.sentence, HasSubstr("PGPASSWORD"));
}

TEST_F(PostgresqlFaultsTest, InvalidSettingsAreAPermanentError) {
  const std::string uri = Server().Uri(database_);
  const auto trouble_of = [](const std::string& wrong) {
    return TroubleOf(OpenLeadership({.uri = wrong, .leader_timeout = kLeaderTimeout}));
  };
  for (const std::string& wrong : {uri + "?sslmode=nonsense", uri + "?service=unknown", uri + "?port=99999",
                                   uri + "?host=a,b&port=1,2,3", uri + "?target_session_attrs=any-thing"}) {
    SCOPED_TRACE(wrong);
    const LedgerTrouble trouble = trouble_of(wrong);
    EXPECT_FALSE(trouble.passing);
    EXPECT_THAT(trouble.sentence, HasSubstr("the connection settings are invalid"));
  }
  for (const std::string& unsafe : {uri + "?sslmode=verify-full", uri + "?sslmode=require",
                                    uri + "?sslmode=verify-ca&sslrootcert=/nonexistent"}) {
    SCOPED_TRACE(unsafe);
    const LedgerTrouble trouble = trouble_of(unsafe);
    EXPECT_FALSE(trouble.passing);
    EXPECT_THAT(trouble.sentence, HasSubstr("not as secure as required"));
  }
  for (const std::string& away :
       {std::string("postgresql://h.invalid/d"), std::string("postgresql:///d?host=/nowhere")}) {
    SCOPED_TRACE(away);
    const LedgerTrouble trouble = trouble_of(away);
    EXPECT_TRUE(trouble.passing);
    EXPECT_THAT(trouble.sentence, HasSubstr("cannot be reached"));
  }
}

TEST_F(PostgresqlFaultsTest, AMissingDatabaseIsReported) {
  const LedgerTrouble trouble =
      TroubleOf(OpenLeadership({.uri = Server().Uri("nowhere"), .leader_timeout = kLeaderTimeout}));
  EXPECT_FALSE(trouble.passing);
  EXPECT_THAT(trouble.sentence, HasSubstr("does not exist"));
  EXPECT_THAT(trouble.sentence, HasSubstr("nowhere"));
}

TEST_F(PostgresqlFaultsTest, TooManyConnectionsAreATransientError) {
  Query("ALTER DATABASE " + database_ + " CONNECTION LIMIT 0");
  const LedgerTrouble trouble = TroubleOf(OpenLeadership(Direct()));
  EXPECT_TRUE(trouble.passing);
  EXPECT_THAT(trouble.sentence, HasSubstr("too many connections"));
}

TEST_F(PostgresqlFaultsTest, AUserWithoutTheRightToCreateTablesIsReported) {
  Query("ALTER DATABASE " + database_ + " OWNER TO postgres");
  const LedgerTrouble trouble = TroubleOf(OpenLeadership(Direct()));
  EXPECT_FALSE(trouble.passing);
  EXPECT_THAT(trouble.sentence, HasSubstr("lacks a privilege"));
}

// --- the schema

TEST_F(PostgresqlFaultsTest, ASchemaOfANewerReleaseIsRefusedAndNotChanged) {
  { const auto schema = Watch(Direct()); }
  Query("UPDATE ledger_schema SET version = 1000");
  for (const LedgerTrouble& trouble :
       {TroubleOf(OpenLeadership(Direct())), TroubleOf(OpenPostgresqlLedger(Direct(), 1))}) {
    EXPECT_FALSE(trouble.passing);
    EXPECT_THAT(trouble.sentence, HasSubstr("newer release"));
  }
  EXPECT_EQ(Query("SELECT version FROM ledger_schema"), "1000");
}

TEST_F(PostgresqlFaultsTest, ALedgerIsNotOpenedOnTheSchemaOfAnOlderRelease) {
  { const auto schema = Watch(Direct()); }
  Query("UPDATE ledger_schema SET version = 0");
  const LedgerTrouble trouble = TroubleOf(OpenPostgresqlLedger(Direct(), 1));
  EXPECT_FALSE(trouble.passing);
  EXPECT_THAT(trouble.sentence, HasSubstr("not of this release"));
}

TEST_F(PostgresqlFaultsTest, AMissingLedgerIsNotOpened) {
  const LedgerTrouble trouble = TroubleOf(OpenPostgresqlLedger(Direct(), 1));
  EXPECT_FALSE(trouble.passing);
  EXPECT_NE(trouble.sentence, "none");
  EXPECT_EQ(Query("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
}

TEST_F(PostgresqlFaultsTest, ForeignTablesAreRefusedAndNotChanged) {
  Query("CREATE TABLE session (mine int)");
  const LedgerTrouble trouble = TroubleOf(OpenLeadership(Direct()));
  EXPECT_FALSE(trouble.passing);
  EXPECT_THAT(trouble.sentence, HasSubstr("does not belong to a ledger; name another database"));
  EXPECT_THAT(trouble.sentence, HasSubstr("\"session\""));
  EXPECT_EQ(Query("SELECT string_agg(tablename, ',') FROM pg_tables WHERE schemaname = 'public'"), "session");
}

TEST_F(PostgresqlFaultsTest, ForeignViewsAreRefusedAndNotChanged) {
  Query("CREATE VIEW studies AS SELECT 'mine' AS word; ALTER VIEW studies OWNER TO dicom_sender");
  const LedgerTrouble trouble = TroubleOf(OpenLeadership(Direct()));
  EXPECT_FALSE(trouble.passing);
  EXPECT_THAT(trouble.sentence, HasSubstr("does not belong to a ledger; name another database"));
  EXPECT_THAT(trouble.sentence, HasSubstr("\"studies\""));
  EXPECT_EQ(Query("SELECT word FROM studies"), "mine");
  EXPECT_EQ(Query("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
}

TEST_F(PostgresqlFaultsTest, CoordinatorsMayCreateTheSchemaConcurrently) {
  std::array<std::future<LedgerTrouble>, 8> coordinators;
  for (auto& coordinator : coordinators) {
    coordinator = std::async(std::launch::async, [&] { return TroubleOf(OpenLeadership(Direct())); });
  }
  for (auto& coordinator : coordinators) EXPECT_EQ(coordinator.get().sentence, "none");
  EXPECT_EQ(Query("SELECT count(*), max(epoch) FROM leadership"), "1|0");
  CommitStudy(*Lead(Direct()), "1");
}

// --- the fence

TEST_F(PostgresqlFaultsTest, AFormerLeaderCannotBeginATransaction) {
  const auto former = Lead(Direct());
  CommitStudy(*former, "1");
  const auto leader = Lead(Direct());
  EXPECT_THROW(former->Begin(), LedgerFenced);
  CommitStudy(*leader, "2");
  EXPECT_EQ(StudiesThere(), "2");
}

TEST_F(PostgresqlFaultsTest, ALedgerOfAnUnknownEpochIsFenced) {
  const auto leadership = Watch(Direct());
  const std::uint64_t epoch = Take(*leadership);
  EXPECT_THROW(Open(Direct(), epoch + 1)->Begin(), LedgerFenced);
}

TEST_F(PostgresqlFaultsTest, OneOfTwoConcurrentTakeoversSucceeds) {
  const auto a = Watch(Direct()), b = Watch(Direct());
  for (int round = 0; round < 20; ++round) {
    const LeaderRecord seen = a->Look();
    auto other = std::async(std::launch::async, [&] { return b->Take(seen, "b"); });
    const bool a_has_it = a->Take(seen, "a").has_value(), b_has_it = other.get().has_value();
    EXPECT_NE(a_has_it, b_has_it);
    EXPECT_EQ(a->Look().epoch, seen.epoch + 1);
  }
}

TEST_F(PostgresqlFaultsTest, AChangedRecordIsNotTaken) {
  const auto leadership = Watch(Direct());
  const std::uint64_t epoch = Take(*leadership);
  const LeaderRecord seen = leadership->Look();
  EXPECT_TRUE(leadership->Renew(epoch));
  EXPECT_FALSE(leadership->Take(seen, "late"));
  const std::uint64_t next = Take(*leadership, "next");
  EXPECT_FALSE(leadership->Renew(epoch));
  leadership->Release(epoch);
  EXPECT_EQ(leadership->Look().leader, "next") << "an epoch that is over cannot be released";
  leadership->Release(next);
  EXPECT_EQ(leadership->Look().leader, "");
  EXPECT_FALSE(leadership->Renew(next));
}

TEST_F(PostgresqlFaultsTest, TheRecordHasItsLeadersTimeout) {
  Take(*Watch(Direct(seconds(7))));
  EXPECT_EQ(Watch(Direct())->Look().leader_timeout, seconds(7));
}

TEST_F(PostgresqlFaultsTest, AHangingRenewalLeavesTimeForOtherAttempts) {
  const auto leadership = Watch(Breakable());
  const std::uint64_t epoch = Take(*leadership);
  const TimePoint begin = MonotonicNow();
  cutter_->Set(Passage::kHeld);
  EXPECT_THROW(leadership->Renew(epoch), LedgerError);
  EXPECT_THROW(leadership->Renew(epoch), LedgerError) << "nor can it connect";
  cutter_->Set(Passage::kOpen);
  EXPECT_TRUE(leadership->Renew(epoch));
  EXPECT_LT(MonotonicNow() - begin, kLeaderTimeout * 3 / 4);
}

TEST_F(PostgresqlFaultsTest, AnOlderReleaseCannotTakeANewerSchema) {
  const auto leadership = Watch(Direct());
  Query("UPDATE ledger_schema SET version = version + 1");
  EXPECT_THAT(ErrorOf([&] { leadership->Look(); }), HasSubstr("a newer release"));
}

TEST_F(PostgresqlFaultsTest, WaitingForTheServerCountsAsProgress) {
  PostgresqlOptions options = Direct();
  const auto ledger = Lead(options);
  const auto slow = Open(options, Watch(options)->Look().epoch);
  Session other(database_);
  other.Run("BEGIN");
  other.Run("LOCK TABLE session");
  auto found = std::async(std::launch::async, [&] { return slow->FindSession("session").has_value(); });
  const TimePoint begin = MonotonicNow();
  while (options.progress.at() < begin + seconds(2) && MonotonicNow() < begin + kPatience) std::this_thread::yield();
  EXPECT_GE(options.progress.at(), begin + seconds(2));
  other.Run("COMMIT");
  EXPECT_TRUE(found.get());
}

TEST_F(PostgresqlFaultsTest, ATakeoverWaitsForATransactionOfTheFormerLeader) {
  const auto former = Lead(Direct());
  former->Begin();
  AddStudy(*former, "1");
  const auto leadership = Watch(Direct());
  auto taken = std::async(std::launch::async, [&] { return Take(*leadership); });
  EXPECT_TRUE(Becomes("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted", "t"));
  former->Commit();
  EXPECT_GT(taken.get(), 1U);
  EXPECT_EQ(StudiesThere(), "1");
  EXPECT_THROW(former->Begin(), LedgerFenced);
}

TEST_F(PostgresqlFaultsTest, ATransactionOfAHangingLeaderIsTerminated) {
  // With a shorter timeout, the server itself would terminate the transaction.
  const auto former = Lead(Breakable(std::chrono::minutes(10)));
  former->Begin();
  AddStudy(*former, "1");
  cutter_->Set(Passage::kHeld);
  const auto leadership = Watch(Direct(kShortTimeout));
  EXPECT_NO_THROW(Take(*leadership));
  cutter_->Set(Passage::kOpen);
  EXPECT_THROW(former->Commit(), LedgerError);
  EXPECT_EQ(StudiesThere(), "0");
  EXPECT_THROW(former->Begin(), LedgerError);
}

TEST_F(PostgresqlFaultsTest, AnErrorReportsATransactionOfAnotherRole) {
  const auto former = Lead(Direct());
  Query(
      "CREATE ROLE other LOGIN; GRANT SELECT, UPDATE ON leadership TO other; GRANT SELECT ON ledger_schema TO other");
  const auto leadership = Watch({.uri = Server().UriOf("other", database_), .leader_timeout = kShortTimeout});
  former->Begin();
  EXPECT_THAT(ErrorOf([&] { Take(*leadership); }), HasSubstr("must use the same role"));
}

TEST_F(PostgresqlFaultsTest, TheServerEndsAnAbandonedTransaction) {
  const auto ledger = Lead(Breakable(kShortTimeout));
  ledger->Begin();
  AddStudy(*ledger, "1");
  cutter_->Set(Passage::kHeld);
  EXPECT_TRUE(
      Becomes("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
              " AND usename = 'dicom_sender' AND state LIKE 'idle in transaction%'",
              "0"));
  EXPECT_EQ(StudiesThere(), "0");
}

// --- the URI

TEST(PostgresqlUriTest, IsRecognizedByItsScheme) {
  EXPECT_TRUE(IsPostgresqlUri("postgresql://"));
  EXPECT_TRUE(IsPostgresqlUri("postgres://host/db"));
  EXPECT_FALSE(IsPostgresqlUri("ledger.db"));
  EXPECT_FALSE(IsPostgresqlUri("/postgresql://"));
  EXPECT_FALSE(IsPostgresqlUri("host=a dbname=b"));
}

TEST(PostgresqlUriTest, APasswordIsRefusedAndNotShown) {
  for (const char* uri :
       {"postgresql://u:geheim@h/d", "postgresql://u@h/d?password=geheim", "postgresql:///d?sslpassword=geheim",
        "postgresql://u:geheim@h:port/d", "postgresql://u:geheim@[h/d", "postgresql://h/d?passwort=geheim",
        "postgresql://u:geheim/eim@h/d", "postgresql://u:12/geheim@h/d", "postgresql://u:ge@geheim@h/d",
        "postgresql://u:geheim?eim@h/d"}) {
    SCOPED_TRACE(uri);
    const auto checked = CheckUri(uri);
    ASSERT_FALSE(checked);
    EXPECT_THAT(checked.error(), Not(HasSubstr("geheim")));
    EXPECT_THAT(RedactedUri(uri), Not(HasSubstr("geheim")));
  }
  EXPECT_THAT(CheckUri("postgresql://u:geheim@h/d").error(), HasSubstr("PGPASSWORD"));
}

TEST(PostgresqlUriTest, AUriWithoutAPasswordIsShownUnchanged) {
  for (const char* uri :
       {"postgresql://u@h:5433/d", "postgresql://h/d", "postgresql://?service=ledger",
        "postgresql://u@a:5432,b:5433/d", "postgresql://u@a,b:5433/d", "postgresql://[::1]:5433/d"}) {
    EXPECT_TRUE(CheckUri(uri)) << uri;
    EXPECT_EQ(RedactedUri(uri), uri);
  }
  EXPECT_EQ(RedactedUri("postgresql://u@a,b/d?port=5433"), "postgresql://u@a:5433,b:5433/d");
  EXPECT_TRUE(CheckUri("postgresql://u@a,b:5433/d?target_session_attrs=read-write&sslmode=verify-full"));
}

}  // namespace
}  // namespace dicom_sender
