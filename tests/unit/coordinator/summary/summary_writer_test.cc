// Summaries whose first write fails.
#include "coordinator/summary/summary_writer.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "coordinator/ledger/sqlite/sqlite_ledger.h"
#include "tests/support/file_size_limit.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {
namespace {

using namespace std::chrono_literals;

class SummaryWriterTest : public testing::Test {
 protected:
  SummaryWriterTest() { std::filesystem::create_directory(out()); }

  std::filesystem::path out() const { return folder_ / "out"; }
  bool IsWritten(const std::string& session) const {
    return std::filesystem::exists(out() / ("dicom_sender_summary_" + session + ".json"));
  }
  SessionKey AddSession(const std::string& session, wire::SessionState state = wire::SESSION_COMPLETE) {
    wire::OpenSession settings;
    settings.set_session(session);
    ledger_->Begin();
    const SessionKey key = ledger_->CreateSession(settings, WallNow()).key;
    ledger_->SetSessionState(key, state, {}, WallNow());
    ledger_->Commit();
    return key;
  }
  void SetState(SessionKey session, wire::SessionState state) {
    ledger_->Begin();
    ledger_->SetSessionState(session, state, {}, WallNow());
    ledger_->Commit();
  }
  // Retries once a second, as the loop does. Returns the number of seconds until the summary is written.
  int SecondsUntilWritten(const std::string& session, int at_most) {
    for (int i = 1; i <= at_most; ++i) {
      now_ += 1s;
      writer_.Retry(now_);
      if (IsWritten(session)) return i;
    }
    ADD_FAILURE() << "it is not written";
    return 0;
  }

  TemporaryFolder folder_;
  const std::unique_ptr<Ledger> ledger_ = *OpenSqliteLedger(folder_ / "ledger.db");
  SummaryWriter writer_{*ledger_, out().string(), {}};
  TimePoint now_{100s};
};

TEST_F(SummaryWriterTest, SummariesAreWrittenWhenTheirFolderReturns) {
  const SessionKey first = AddSession("a"), second = AddSession("b");
  std::filesystem::remove(out());
  writer_.Write(first, now_);
  writer_.Write(second, now_);
  for (int i = 0; i < 10; ++i) writer_.Retry(now_ += 1s);
  EXPECT_FALSE(std::filesystem::exists(out())) << "it may be a mount point, so it is not created";
  std::filesystem::create_directory(out());
  SecondsUntilWritten("a", 60);
  SecondsUntilWritten("b", 2);
}

TEST_F(SummaryWriterTest, RetriesBackOffUpToOneMinute) {
  const SessionKey session = AddSession("a");
  std::filesystem::remove(out());
  writer_.Write(session, now_);
  writer_.Retry(now_ += 1s);  // the second failure: the next retry is two seconds later
  std::filesystem::create_directory(out());
  EXPECT_EQ(SecondsUntilWritten("a", 60), 2);

  std::filesystem::remove_all(out());
  writer_.Write(session, now_);
  for (int i = 0; i < 1000; ++i) writer_.Retry(now_ += 1s);
  std::filesystem::create_directory(out());
  EXPECT_GT(SecondsUntilWritten("a", 60), 0);
}

TEST_F(SummaryWriterTest, SummariesAreWrittenWhenAFullDiskHasSpaceAgain) {
  const SessionKey session = AddSession("a");
  {
    const FileSizeLimit limit(0);
    writer_.Write(session, now_);
    EXPECT_FALSE(IsWritten("a"));
  }
  SecondsUntilWritten("a", 60);
}

TEST_F(SummaryWriterTest, AFailedSummaryDoesNotBlockOthers) {
  const SessionKey first = AddSession("a"), second = AddSession("b");
  std::filesystem::create_directories(out() / "dicom_sender_summary_a.json" / "in the way");
  writer_.Write(first, now_);
  {
    const FileSizeLimit limit(0);
    writer_.Write(second, now_);
  }
  SecondsUntilWritten("b", 60);
}

TEST_F(SummaryWriterTest, AResumedSessionGetsItsSummaryAtItsEnd) {
  const SessionKey session = AddSession("a");
  std::filesystem::remove(out());
  writer_.Write(session, now_);
  SetState(session, wire::SESSION_SENDING);
  std::filesystem::create_directory(out());
  for (int i = 0; i < 100; ++i) writer_.Retry(now_ += 1s);
  EXPECT_FALSE(IsWritten("a"));
  SetState(session, wire::SESSION_COMPLETE);
  writer_.Write(session, now_);
  EXPECT_TRUE(IsWritten("a"));
}

}  // namespace
}  // namespace dicom_sender
