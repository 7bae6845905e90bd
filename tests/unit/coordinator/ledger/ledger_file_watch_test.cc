// Moves or removes the file of an open ledger.
#include "coordinator/ledger/sqlite/ledger_file_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "coordinator/ledger/sqlite/sqlite_ledger.h"
#include "tests/unit/coordinator/ledger/ledger_file.h"

namespace dicom_sender {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class LedgerFileWatchTest : public testing::Test {
 protected:
  std::string Trouble() const {
    try {
      watch_.Check();
    } catch (const LedgerError& error) {
      return error.what();
    }
    return {};
  }

  const LedgerFile file_;
  const std::unique_ptr<Ledger> ledger_ = *OpenSqliteLedger(file_.path());
  const LedgerFileWatch watch_{file_.path()};
};

TEST_F(LedgerFileWatchTest, WritesAreNotReported) {
  wire::OpenSession settings;
  settings.set_session("a");
  ledger_->Begin();
  ledger_->CreateSession(settings, WallNow());
  ledger_->Commit();
  EXPECT_EQ(Trouble(), "");
}

TEST_F(LedgerFileWatchTest, ARemovedLedgerIsDetected) {
  std::filesystem::remove(file_.path());
  EXPECT_THAT(Trouble(), AllOf(HasSubstr("ledger '" + file_.path() + "': it was removed or renamed while in use; "),
                               HasSubstr("start again")));
}

TEST_F(LedgerFileWatchTest, ARenamedLedgerIsDetectedUntilItReturns) {
  const std::string elsewhere = file_.path() + ".old";
  std::filesystem::rename(file_.path(), elsewhere);
  EXPECT_THAT(Trouble(), HasSubstr("removed or renamed"));
  std::filesystem::rename(elsewhere, file_.path());
  EXPECT_EQ(Trouble(), "");
}

TEST_F(LedgerFileWatchTest, ALedgerReplacedByItsCopyIsDetected) {
  const std::string copy = file_.path() + ".copy";
  std::filesystem::copy_file(file_.path(), copy);
  std::filesystem::rename(copy, file_.path());
  EXPECT_THAT(Trouble(), HasSubstr("it was replaced by another file while in use"));
}

TEST_F(LedgerFileWatchTest, ARemovedWriteAheadLogIsDetected) {
  std::filesystem::remove(file_.path() + "-wal");
  EXPECT_THAT(Trouble(), HasSubstr("ledger '" + file_.path() + "-wal': it was removed"));
}

TEST_F(LedgerFileWatchTest, ARemovedFolderIsDetected) {
  const std::filesystem::path folder = file_.folder();
  const std::filesystem::path elsewhere = folder.string() + ".moved";
  std::filesystem::rename(folder, elsewhere);
  EXPECT_THAT(Trouble(), HasSubstr("removed or renamed"));
  std::filesystem::rename(elsewhere, folder);
}

}  // namespace
}  // namespace dicom_sender
