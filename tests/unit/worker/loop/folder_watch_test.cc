#include "worker/loop/folder_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "tests/support/example_studies.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

TEST(FolderWatch, NothingToWatchIsHealthy) { EXPECT_THAT(FolderWatch({}).Reason(), IsEmpty()); }

TEST(FolderWatch, ReportsTheReason) {
  const TemporaryFolder folder;
  WriteFile(folder / "file", "x");
  std::filesystem::create_directory(folder / "empty");
  EXPECT_THAT(WrongWithFolder(folder.path()), IsEmpty());
  EXPECT_THAT(WrongWithFolder(folder / "missing"), HasSubstr("No such file or directory"));
  EXPECT_THAT(WrongWithFolder(folder / "file"), HasSubstr("is not a folder"));
  EXPECT_THAT(WrongWithFolder(folder / "empty"), HasSubstr("is its storage mounted?"));
}

TEST(FolderWatch, ReportsTheFirstResultAndChanges) {
  const TemporaryFolder folder;
  const std::filesystem::path mount = folder / "mount";
  std::filesystem::create_directory(mount);
  const FolderWatch watch({folder.path(), mount});
  EXPECT_THAT(watch.Reason(), HasSubstr("is empty")) << "known at once";
  WriteFile(mount / "file", "x");
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!watch.Reason().empty() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_THAT(watch.Reason(), IsEmpty());
}

}  // namespace
}  // namespace dicom_sender
