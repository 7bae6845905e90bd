// What only a file can do: be another one, be damaged, be in use, be on a disk that is full.
#include "coordinator/ledger/sqlite_ledger.h"

#include <gmock/gmock.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "tests/support/file_size_limit.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/ledger/ledger_contract.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;

class SqliteStore : public LedgerStore {
 public:
  std::unique_ptr<Ledger> Open() override {
    auto ledger = OpenSqliteLedger((folder_ / "ledger.db").string());
    if (!ledger) throw std::runtime_error(ledger.error());
    return *std::move(ledger);
  }

 private:
  TemporaryFolder folder_;
};

INSTANTIATE_TEST_SUITE_P(Sqlite, LedgerContract, testing::Values([] { return std::make_unique<SqliteStore>(); }));

class SqliteLedgerTest : public testing::Test {
 protected:
  std::string file() const { return (folder_ / "ledger.db").string(); }

  std::string WhyNot() const {
    const auto ledger = OpenSqliteLedger(file());
    return ledger ? "it was opened" : ledger.error();
  }
  void ExpectRefused(const std::string& because) const {
    EXPECT_EQ(WhyNot(), "ledger " + file() + " cannot be used: " + because);
  }
  // As another program would, on the file that nobody has open.
  void Sql(const std::string& sql) const {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(file().c_str(), &db), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
    sqlite3_close(db);
  }
  std::string Bytes() const {
    std::stringstream bytes;
    bytes << std::ifstream(file(), std::ios::binary).rdbuf();
    return bytes.str();
  }
  void WriteBytes(const std::string& bytes) const { std::ofstream(file(), std::ios::binary) << bytes; }

  static SessionKey CreateSession(Ledger& ledger) {
    wire::OpenSession settings;
    settings.set_session("session");
    ledger.Begin();
    const SessionKey session = ledger.CreateSession(settings, At(1)).key;
    ledger.Commit();
    return session;
  }

  TemporaryFolder folder_;
};

TEST_F(SqliteLedgerTest, OneProcessHasIt) {
  auto ledger = OpenSqliteLedger(file());
  ASSERT_TRUE(ledger) << ledger.error();
  ExpectRefused("another process has it open");
  const pid_t child = fork();
  if (child == 0) _exit(OpenSqliteLedger(file()) ? 1 : 0);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the child could open it";
  CreateSession(**ledger);
  ledger->reset();
  EXPECT_TRUE(OpenSqliteLedger(file()));
}

TEST_F(SqliteLedgerTest, AnotherProgramsDatabaseIsRefusedAndLeftAsItIs) {
  Sql("CREATE TABLE patients (name TEXT); INSERT INTO patients VALUES ('x'); PRAGMA user_version = 1");
  const std::string before = Bytes();
  ExpectRefused("it is no ledger of dicom-sender");
  EXPECT_EQ(Bytes(), before);
}

TEST_F(SqliteLedgerTest, WhatIsNoDatabaseIsRefusedAndLeftAsItIs) {
  const std::string garbage(5000, 'x');
  WriteBytes(garbage);
  ExpectRefused("it is damaged or no ledger of dicom-sender");
  EXPECT_EQ(Bytes(), garbage);
}

TEST_F(SqliteLedgerTest, ALedgerOfANewerReleaseIsRefused) {
  ASSERT_TRUE(OpenSqliteLedger(file()));
  Sql("PRAGMA user_version = 99");
  ExpectRefused("it is of a newer release");
}

TEST_F(SqliteLedgerTest, ADamagedPageIsAnErrorAndNoAnswer) {
  SessionKey session = 0;
  {
    auto ledger = OpenSqliteLedger(file());
    ASSERT_TRUE(ledger) << ledger.error();
    session = CreateSession(**ledger);
  }
  std::string bytes = Bytes();
  ASSERT_GT(bytes.size(), 8192U);
  for (std::size_t i = 4096; i < bytes.size(); ++i) bytes[i] = static_cast<char>(0xA5);
  WriteBytes(bytes);
  auto ledger = OpenSqliteLedger(file());
  if (!ledger) return;
  EXPECT_THROW((*ledger)->LoadSession(session), LedgerError);
}

TEST_F(SqliteLedgerTest, AFolderThatDoesNotExistIsRefused) {
  const auto ledger = OpenSqliteLedger((folder_ / "none" / "ledger.db").string());
  ASSERT_FALSE(ledger);
  EXPECT_THAT(ledger.error(), HasSubstr("unable to open database file"));
}

// Root may write everything; a test that runs as root becomes somebody else for a while.
class NotRoot {
 public:
  explicit NotRoot(const std::filesystem::path& folder) {
    if (geteuid() != 0) return;
    constexpr uid_t kNobody = 65534;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) Give(entry.path(), kNobody);
    Give(folder, kNobody);
    EXPECT_EQ(seteuid(kNobody), 0);
  }
  ~NotRoot() {
    if (getuid() == 0) {
      EXPECT_EQ(seteuid(0), 0);
    }
  }
  NotRoot(const NotRoot&) = delete;
  NotRoot& operator=(const NotRoot&) = delete;

 private:
  static void Give(const std::filesystem::path& path, uid_t user) {
    EXPECT_EQ(chown(path.c_str(), user, static_cast<gid_t>(-1)), 0);
  }
};

TEST_F(SqliteLedgerTest, AFileThatCannotBeWrittenIsRefused) {
  ASSERT_TRUE(OpenSqliteLedger(file()));
  std::filesystem::permissions(file(), std::filesystem::perms::owner_read);
  const NotRoot not_root(folder_.path());
  ExpectRefused("it may not be written");
}

TEST_F(SqliteLedgerTest, AFullDiskIsSaidAndNothingThatWasCommittedIsLost) {
  auto opened = OpenSqliteLedger(file());
  ASSERT_TRUE(opened) << opened.error();
  std::unique_ptr<Ledger> ledger = *std::move(opened);
  const SessionKey session = CreateSession(*ledger);
  std::uint64_t committed = 0;
  const auto feed = [&](int number) {
    std::vector<File> files;
    for (int i = 0; i < 100; ++i) {
      const std::string uid = std::to_string(number) + "." + std::to_string(i);
      files.push_back({.path = uid, .sop_instance_uid = uid});
    }
    ledger->Begin();
    ledger->AddStudies(session, Batch(std::to_string(number), files));
    ledger->Commit();
    committed += files.size();
  };
  feed(0);
  std::string error;
  {
    const FileSizeLimit limit(1 << 20);
    for (int number = 1; number < 1000 && error.empty(); ++number) {
      try {
        feed(number);
      } catch (const LedgerError& failed) {
        error = failed.what();
      }
    }
    EXPECT_THAT(error, HasSubstr("ledger " + file() + ": disk I/O error (File too large); resume the session"));
    EXPECT_THROW(ledger->LoadSession(session), LedgerError) << "memory may be ahead of the disk";
    ledger.reset();
  }
  auto again = OpenSqliteLedger(file());
  ASSERT_TRUE(again) << again.error();
  const Counts counts = (*again)->LoadSession(session).counts;
  EXPECT_EQ(counts.total, committed);
  EXPECT_GE(committed, 100U);
  const InstanceState pending[] = {InstanceState::kPending};
  EXPECT_EQ((*again)->Report(session, pending, {}, 1'000'000).size(), committed);
}

}  // namespace
}  // namespace dicom_sender
