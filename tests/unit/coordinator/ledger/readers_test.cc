// Other processes read the file of an open ledger without blocking or delaying its writer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <system_error>
#include <utility>

#include "coordinator/ledger/sqlite/sqlite_ledger.h"
#include "tests/unit/coordinator/ledger/ledger_file.h"

namespace dicom_sender {
namespace {

using std::chrono::steady_clock;

// A connection of another program. Every failure ends that process.
class Connection {
 public:
  Connection(const std::string& file, int flags) {
    if (sqlite3_open_v2(file.c_str(), &db_, flags, nullptr) != SQLITE_OK) _exit(1);
    sqlite3_busy_timeout(db_, 10'000);
  }
  ~Connection() { sqlite3_close(db_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void Run(const std::string& sql) {
    if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) _exit(1);
  }

 private:
  sqlite3* db_ = nullptr;
};

// A process that is forked before the ledger is opened, because SQLite's connections must not be inherited. It starts
// its work on request and ends with the object.
class OtherProcess {
 public:
  explicit OtherProcess(const std::function<void(const std::function<void()>& ready)>& work) {
    if (pipe(go_) != 0 || pipe(ready_) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
    id_ = fork();
    if (id_ == 0) {
      char byte = 0;
      if (read(go_[0], &byte, 1) != 1) _exit(1);
      work([this] { (void)!write(ready_[1], "x", 1); });
      _exit(0);
    }
    close(ready_[1]);
  }
  // Returns when the process is ready.
  void Begin() const {
    char byte = 0;
    ASSERT_EQ(write(go_[1], "x", 1), 1);
    ASSERT_EQ(read(ready_[0], &byte, 1), 1) << "it has failed";
  }
  bool HasEnded() {
    int status = 0;
    if (id_ <= 0 || waitpid(id_, &status, WNOHANG) != id_) return id_ <= 0;
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    id_ = -1;
    return true;
  }
  ~OtherProcess() {
    if (id_ > 0) {
      kill(id_, SIGKILL);
      waitpid(id_, nullptr, 0);
    }
    for (const int fd : {go_[0], go_[1], ready_[0]}) close(fd);
  }
  OtherProcess(const OtherProcess&) = delete;
  OtherProcess& operator=(const OtherProcess&) = delete;

 private:
  int go_[2] = {-1, -1}, ready_[2] = {-1, -1};
  pid_t id_ = -1;
};

class ReadersTest : public testing::Test {
 protected:
  void Open() {
    auto ledger = OpenSqliteLedger(file_.path());
    ASSERT_TRUE(ledger) << ledger.error();
    ledger_ = *std::move(ledger);
    settings_.set_session("session");
    ledger_->Begin();
    session_ = ledger_->CreateSession(settings_, {}).key;
    ledger_->Commit();
  }
  // Runs a transaction that writes 1 MiB to the log.
  void CommitMebibyte() {
    settings_.set_inputs(0, std::string(1 << 20, static_cast<char>('a' + commits_++ % 26)));
    const auto begin = steady_clock::now();
    ledger_->Begin();
    ledger_->SetSettings(session_, settings_);
    ledger_->Commit();
    longest_ = std::max<steady_clock::duration>(longest_, steady_clock::now() - begin);
  }
  std::uintmax_t LogBytes() const { return std::filesystem::file_size(file_.path() + "-wal"); }

  LedgerFile file_;
  std::unique_ptr<Ledger> ledger_;
  wire::OpenSession settings_ = [] {
    wire::OpenSession settings;
    settings.add_inputs();
    return settings;
  }();
  SessionKey session_ = 0;
  int commits_ = 0;
  steady_clock::duration longest_{};
};

constexpr std::uintmax_t kLogBytesMax = 320 << 20;
constexpr std::chrono::seconds kWaitMax(10);  // much longer than a commit waits for a reader

// Polls with two connections, at least one of which is always reading.
void PollForever(const std::string& file, const std::function<void()>& ready) {
  Connection first(file, SQLITE_OPEN_READONLY), second(file, SQLITE_OPEN_READONLY);
  const std::string look = "BEGIN; SELECT count(*) FROM instances; SELECT session, state FROM sessions";
  first.Run(look);
  ready();
  for (;;) {
    second.Run(look);
    first.Run("COMMIT;" + look);
    second.Run("COMMIT");
  }
}

TEST_F(ReadersTest, ConstantPollingNeitherDelaysCommitsNorGrowsTheLog) {
  OtherProcess reader([this](const auto& ready) { PollForever(file_.path(), ready); });
  Open();
  ASSERT_NO_FATAL_FAILURE(reader.Begin());
  for (int i = 0; i < 400; ++i) {
    CommitMebibyte();
    ASSERT_LE(LogBytes(), kLogBytesMax) << "after " << i << " MiB";
  }
  EXPECT_LT(longest_, kWaitMax);
  EXPECT_FALSE(reader.HasEnded());
}

TEST_F(ReadersTest, AnEndlessReaderDelaysACommitOnlyBriefly) {
  OtherProcess reader([this](const auto& ready) {
    Connection connection(file_.path(), SQLITE_OPEN_READONLY);
    connection.Run("BEGIN; SELECT count(*) FROM instances");
    ready();
    for (;;) pause();
  });
  Open();
  ASSERT_NO_FATAL_FAILURE(reader.Begin());
  for (int i = 0; i < 200; ++i) CommitMebibyte();
  EXPECT_LT(longest_, kWaitMax);
}

TEST_F(ReadersTest, ABackupIsConsistentDuringWrites) {
  const std::string backup = file_.folder() / "backup.db";
  OtherProcess copier([&](const auto& ready) {
    Connection connection(file_.path(), SQLITE_OPEN_READONLY);
    ready();
    connection.Run("VACUUM INTO '" + backup + "'");
  });
  Open();
  for (int i = 0; i < 20; ++i) CommitMebibyte();
  ASSERT_NO_FATAL_FAILURE(copier.Begin());
  const auto deadline = steady_clock::now() + std::chrono::seconds(60);
  while (!copier.HasEnded() && steady_clock::now() < deadline) CommitMebibyte();
  const auto copy = OpenSqliteLedger(backup);
  ASSERT_TRUE(copy) << copy.error();
  const auto session = (*copy)->FindSession("session");
  ASSERT_TRUE(session);
  EXPECT_EQ(session->settings.inputs(0).size(), std::size_t{1} << 20);
}

// Its transactions begin and end in the midst of ours.
TEST_F(ReadersTest, ShortWritesByAnotherProgramAreWaitedFor) {
  OtherProcess writer([this](const auto& ready) {
    Connection connection(file_.path(), SQLITE_OPEN_READWRITE);
    ready();
    for (;;) {
      connection.Run("BEGIN IMMEDIATE; UPDATE session SET end_reason = end_reason; COMMIT");
      for (int i = 0; i < 20; ++i) connection.Run("SELECT count(*) FROM instances");
    }
  });
  Open();
  ASSERT_NO_FATAL_FAILURE(writer.Begin());
  settings_.set_inputs(0, "/data");
  for (int i = 0; i < 300; ++i) {
    ledger_->Begin();
    ASSERT_TRUE(ledger_->FindSession("session"));
    ledger_->SetSettings(session_, settings_);
    ledger_->Commit();
  }
}

TEST_F(ReadersTest, AnotherWriterIsWaitedForAndThenReported) {
  OtherProcess writer([this](const auto& ready) {
    Connection connection(file_.path(), SQLITE_OPEN_READWRITE);
    connection.Run("BEGIN IMMEDIATE");
    ready();
    for (;;) pause();
  });
  Open();
  ASSERT_NO_FATAL_FAILURE(writer.Begin());
  try {
    CommitMebibyte();
    ADD_FAILURE() << "two programs write";
  } catch (const LedgerError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("another program is writing to it; stop that program"));
  }
}

}  // namespace
}  // namespace dicom_sender
