// What applies only to a file: it may belong to another program, be damaged, be in use, or be on a full disk.
#include "coordinator/ledger/sqlite/sqlite_ledger.h"

#include <gmock/gmock.h>
#include <sched.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <system_error>
#include <utility>

#include "tests/support/file_size_limit.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/coordinator/ledger/copies_contract.h"
#include "tests/unit/coordinator/ledger/ledger_file.h"

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
INSTANTIATE_TEST_SUITE_P(Sqlite, CopiesContract, testing::Values([] { return std::make_unique<SqliteStore>(); }));

class SqliteLedgerTest : public testing::Test {
 protected:
  std::string file() const { return file_.path(); }

  std::string WhyNot() const { return WhyNot(file()); }
  static std::string WhyNot(const std::string& path) {
    const auto ledger = OpenSqliteLedger(path);
    return ledger ? "it was opened" : ledger.error();
  }
  void ExpectRefused(const std::string& because) const { EXPECT_EQ(WhyNot(), "ledger '" + file() + "': " + because); }

  static SessionKey CreateSession(Ledger& ledger) {
    wire::OpenSession settings;
    settings.set_session("session");
    ledger.Begin();
    const SessionKey session = ledger.CreateSession(settings, At(1)).key;
    ledger.Commit();
    return session;
  }

  LedgerFile file_;
};

// Runs the work in a child process, which then waits to be killed.
class KilledChild {
 public:
  template <class Work>
  explicit KilledChild(Work work) {
    int ready[2];
    if (pipe(ready) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
    id_ = fork();
    if (id_ == 0) {
      work();
      (void)!write(ready[1], "x", 1);
      for (;;) pause();
    }
    close(ready[1]);
    char done = 0;
    EXPECT_EQ(read(ready[0], &done, 1), 1) << "the child has failed";
    close(ready[0]);
  }
  void Kill() {
    if (id_ <= 0) return;
    kill(id_, SIGKILL);
    waitpid(std::exchange(id_, -1), nullptr, 0);
  }
  ~KilledChild() { Kill(); }
  KilledChild(const KilledChild&) = delete;
  KilledChild& operator=(const KilledChild&) = delete;

 private:
  pid_t id_ = -1;
};

TEST_F(SqliteLedgerTest, OnlyOneProcessCanOpenIt) {
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

TEST_F(SqliteLedgerTest, AKilledProcessReleasesIt) {
  KilledChild child([&] {
    auto ledger = OpenSqliteLedger(file());
    CreateSession(**ledger);
    ledger->release();  // leaves it open
  });
  ExpectRefused("another process has it open");
  child.Kill();
  EXPECT_NE(file_.LogBytes(), "");
  const auto ledger = OpenSqliteLedger(file());
  ASSERT_TRUE(ledger) << ledger.error();
  EXPECT_TRUE((*ledger)->FindSession("session"));
}

TEST_F(SqliteLedgerTest, AnotherProgramsDatabaseIsRefusedAndNotChanged) {
  file_.Sql("CREATE TABLE patients (name TEXT); INSERT INTO patients VALUES ('x'); PRAGMA user_version = 1");
  const std::string before = file_.Bytes();
  ExpectRefused("it is not a dicom-sender ledger; name another file");
  EXPECT_EQ(file_.Bytes(), before);
}

TEST_F(SqliteLedgerTest, AFileThatIsNotADatabaseIsRefusedAndNotChanged) {
  for (const std::string& content : {std::string(5000, 'x'), std::string("a text\n"), std::string(5000, '\0')}) {
    file_.WriteBytes(content);
    ExpectRefused("it is damaged or not a dicom-sender ledger; name another file, or replace it with a backup");
    EXPECT_EQ(file_.Bytes(), content);
  }
}

TEST_F(SqliteLedgerTest, ALedgerOfANewerReleaseIsRefusedAndNotChanged) {
  ASSERT_TRUE(OpenSqliteLedger(file()));
  file_.Sql("PRAGMA user_version = 99");
  const std::string before = file_.Bytes();
  ExpectRefused("it was written by a newer release; use that release");
  EXPECT_EQ(file_.Bytes(), before);
}

TEST_F(SqliteLedgerTest, TheWriteAheadLogOfANewerReleaseIsKept) {
  ASSERT_TRUE(OpenSqliteLedger(file()));
  KilledChild child([&] {
    sqlite3* db = nullptr;
    sqlite3_open(file().c_str(), &db);
    sqlite3_exec(db, "PRAGMA user_version = 99; CREATE TABLE later (x)", nullptr, nullptr, nullptr);
  });
  child.Kill();
  const std::string before = file_.Bytes(), log_before = file_.LogBytes();
  ASSERT_NE(log_before, "");
  ExpectRefused("it was written by a newer release; use that release");
  EXPECT_EQ(file_.Bytes(), before);
  EXPECT_EQ(file_.LogBytes(), log_before);
}

TEST_F(SqliteLedgerTest, UnreadableSettingsAreDamage) {
  auto ledger = OpenSqliteLedger(file());
  ASSERT_TRUE(ledger) << ledger.error();
  const SessionKey session = CreateSession(**ledger);
  ledger->reset();
  file_.Sql("UPDATE session SET settings = x'ffff'");
  ledger = OpenSqliteLedger(file());
  ASSERT_TRUE(ledger) << ledger.error();
  EXPECT_THROW((*ledger)->LoadSession(session), LedgerError);
}

TEST_F(SqliteLedgerTest, AFolderIsRefused) {
  std::filesystem::create_directory(file());
  ExpectRefused("it is a folder; name a file");
}

TEST_F(SqliteLedgerTest, AFolderThatDoesNotExistIsRefused) {
  EXPECT_THAT(WhyNot((file_.folder() / "none" / "ledger.db").string()),
              HasSubstr("its folder is not writable (No such file or directory); fix that"));
}

// Root may write everything, so a test that runs as root switches to another user for a while.
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
  const NotRoot not_root(file_.folder());
  ExpectRefused("it is not writable; give this user write permission");
}

TEST_F(SqliteLedgerTest, AFileThatCannotBeReadIsRefused) {
  ASSERT_TRUE(OpenSqliteLedger(file()));
  std::filesystem::permissions(file(), std::filesystem::perms::none);
  const NotRoot not_root(file_.folder());
  ExpectRefused("it is not readable and writable (Permission denied); fix that and start again");
}

TEST_F(SqliteLedgerTest, AFolderThatCannotBeWrittenIsRefused) {
  const NotRoot not_root(file_.folder());
  const auto with_rights = [&](std::filesystem::perms rights) {
    std::filesystem::permissions(file_.folder(), rights);
  };
  const auto read_only = std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec;
  const std::string refusal = "its folder is not writable (Permission denied); fix that and start again";
  with_rights(read_only);
  ExpectRefused(refusal);
  with_rights(std::filesystem::perms::owner_all);
  ASSERT_TRUE(OpenSqliteLedger(file()));
  const std::string before = file_.Bytes();
  with_rights(read_only);
  ExpectRefused(refusal);
  EXPECT_EQ(file_.Bytes(), before);
  with_rights(std::filesystem::perms::owner_all);
}

class FullDiskTest : public SqliteLedgerTest {
 protected:
  struct Fill {
    std::uint64_t committed = 0;  // instances
    std::string error;
  };
  // Publishes batches until one fails, or until `batches_max`.
  static Fill FeedUntilFull(const std::string& path, int batches_max) {
    Fill fill;
    auto opened = OpenSqliteLedger(path);
    if (!opened) return {.error = opened.error()};
    std::unique_ptr<Ledger> ledger = *std::move(opened);
    try {
      const SessionKey session = CreateSession(*ledger);
      for (int number = 0; number < batches_max; ++number) {
        std::vector<File> files;
        for (int i = 0; i < 1000; ++i) {
          const std::string uid = std::to_string(number) + "." + std::to_string(i);
          files.push_back({.path = uid, .sop_instance_uid = uid});
        }
        ledger->Begin();
        ledger->AddStudies(session, Batch(std::to_string(number), files));
        ledger->Commit();
        fill.committed += files.size();
      }
    } catch (const LedgerError& failed) {
      fill.error = failed.what();
      EXPECT_THROW(ledger->Begin(), LedgerError) << "memory may be ahead of the disk";
    }
    return fill;
  }
  // Checks that all committed instances exist and are counted.
  static bool HasAll(const std::string& path, std::uint64_t committed) {
    const auto ledger = OpenSqliteLedger(path);
    if (!ledger) return false;
    const InstanceState pending[] = {InstanceState::kPending};
    const SessionRecord session = (*ledger)->FindSession("session").value_or(SessionRecord{});
    return session.counts.total == committed && session.studies == committed / 1000 &&
           (*ledger)->Report(session.key, pending, {}, 10'000'000).size() == committed;
  }
};

TEST_F(FullDiskTest, IsReportedAndNoCommittedDataIsLost) {
  // The first two limits affect the log, the others the file itself when the log, which may grow to 4 MB, is copied
  // into it.
  for (const std::uint64_t room : {200'000U, 1'000'000U, 4'500'000U, 6'000'000U}) {
    SCOPED_TRACE(room);
    const LedgerFile ledger;
    Fill fill;
    {
      const FileSizeLimit limit(room);
      fill = FeedUntilFull(ledger.path(), 1000);
    }
    EXPECT_EQ(fill.error,
              "ledger '" + ledger.path() + "': disk I/O error (File too large); check the disk and start again");
    // The data of the failed commit may still have been written.
    EXPECT_TRUE(HasAll(ledger.path(), fill.committed) || HasAll(ledger.path(), fill.committed + 1000));
  }
}

// Runs in a child process with a small private file system.
constexpr int kRight = 0, kWrong = 1, kNotPermitted = 77;

TEST_F(FullDiskTest, IsReportedAndTheLedgerCanStillBeOpened) {
  const auto mount_tmpfs = [&](unsigned long flags, const char* size) {
    return mount("tmpfs", file_.folder().c_str(), "tmpfs", flags, size) == 0;
  };
  const auto work = [&] {
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        !mount_tmpfs(0, "size=2m")) {
      return kNotPermitted;
    }
    const Fill fill = FeedUntilFull(file(), 1000);
    const bool said = fill.error == "ledger '" + file() + "': the disk is full; free some space and start again";
    const bool kept = fill.committed > 0 && HasAll(file(), fill.committed);
    const bool kept_later = mount_tmpfs(MS_REMOUNT, "size=20m") && HasAll(file(), fill.committed);
    return said && kept && kept_later ? kRight : kWrong;
  };
  const pid_t child = fork();
  if (child == 0) _exit(work());
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kNotPermitted) GTEST_SKIP() << "file systems may not be mounted here";
  EXPECT_EQ(WEXITSTATUS(status), kRight);
}

}  // namespace
}  // namespace dicom_sender
