#include "indexer/folder_walk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/support/example_studies.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

class FolderWalkTest : public testing::Test {
 protected:
  void Touch(const std::string& path) {
    std::filesystem::create_directories((folder_ / path).parent_path());
    WriteFile(folder_ / path, "x");
  }
  // "f:PATH" for a file, "e:PATH" for the end of a folder, "p:PATH" for a problem.
  std::vector<std::string> Walk(const std::vector<std::string>& inputs, bool recursive = true) {
    FolderWalk walk(ScanRoots(inputs), recursive);
    std::vector<std::string> entries;
    while (const auto entry = walk.Next()) {
      const char* kind = entry->kind == WalkEntry::Kind::kFile ? "f:" : "p:";
      entries.push_back((entry->kind == WalkEntry::Kind::kFolderEnd ? "e:" : kind) + entry->path);
    }
    return entries;
  }
  std::vector<std::string> Walk(bool recursive = true) { return Walk({folder_.path()}, recursive); }

  TemporaryFolder folder_;
};

TEST_F(FolderWalkTest, ListsFilesThenTheEndThenSortedSubfolders) {
  for (const char* path : {"b", "a", "2/x", "1/y", "1/deep/z"}) Touch(path);
  EXPECT_THAT(Walk(), ElementsAre("f:a", "f:b", "e:", "f:1/y", "e:1", "f:1/deep/z", "e:1/deep", "f:2/x", "e:2"));
  EXPECT_THAT(Walk(false), ElementsAre("f:a", "f:b", "e:"));
}

TEST_F(FolderWalkTest, AnInputCanBeAFile) {
  Touch("sub/a");
  Touch("sub/b");
  EXPECT_THAT(Walk({(folder_ / "sub/a").string()}), ElementsAre("f:a"));
  const auto roots = ScanRoots({(folder_ / "sub/").string(), (folder_ / "sub/b").string()});
  EXPECT_EQ(roots[0].folder, (folder_ / "sub").string());
  EXPECT_EQ(roots[1].folder, (folder_ / "sub").string());
  EXPECT_EQ(roots[1].file, "b");
}

TEST_F(FolderWalkTest, AParentIsResolvedByTheSystem) {
  Touch("a/x");
  Touch("real/y");
  Touch("real/sub/z");
  std::filesystem::create_directory_symlink(folder_ / "real/sub", folder_ / "link");
  EXPECT_THAT(Walk({(folder_ / "link/..").string()}, false), ElementsAre("f:y", "e:")) << "not folder_";
}

TEST_F(FolderWalkTest, EachFolderIsEnteredOnceRegardlessOfItsPath) {
  Touch("a/x");
  std::filesystem::create_directory_symlink(folder_.path(), folder_ / "a/loop");
  std::filesystem::create_directory_symlink(folder_ / "a", folder_ / "b");
  const std::string root = folder_.path();
  EXPECT_THAT(Walk({root, root + "/a", root}), ElementsAre("e:", "f:a/x", "e:a"));
}

TEST_F(FolderWalkTest, LinksAreFollowed) {
  TemporaryFolder elsewhere;
  WriteFile(elsewhere / "y", "x");
  Touch("x");
  std::filesystem::create_symlink(folder_ / "x", folder_ / "link");
  std::filesystem::create_symlink(folder_ / "nowhere", folder_ / "broken");
  std::filesystem::create_directory_symlink(elsewhere.path(), folder_ / "sub");
  EXPECT_THAT(Walk(), ElementsAre("f:broken", "f:link", "f:x", "e:", "f:sub/y", "e:sub"));
}

TEST_F(FolderWalkTest, AnUnreadableFolderIsReportedAndTheWalkContinues) {
  if (geteuid() == 0) GTEST_SKIP() << "root may read everything";
  Touch("closed/x");
  Touch("open/y");
  chmod((folder_ / "closed").c_str(), 0);
  EXPECT_THAT(Walk(), ElementsAre("e:", "p:closed", "f:open/y", "e:open"));
  chmod((folder_ / "closed").c_str(), 0700);
}

TEST_F(FolderWalkTest, AFolderThatVanishesIsReported) {
  Touch("a/x");
  Touch("b/y");
  FolderWalk walk(ScanRoots({folder_.path()}), true);
  EXPECT_EQ(walk.Next()->kind, WalkEntry::Kind::kFolderEnd);  // both files are listed by now
  std::filesystem::remove_all(folder_ / "a");
  const auto problem = walk.Next();
  EXPECT_EQ(problem->kind, WalkEntry::Kind::kFolderProblem);
  EXPECT_EQ(problem->path, "a");
  EXPECT_EQ(problem->reason, "No such file or directory");
  EXPECT_EQ(walk.Next()->path, "b/y");
}

TEST_F(FolderWalkTest, LargeFoldersAreListedInPartsWithoutLoss) {
  for (std::size_t i = 0; i < kNamesPerTurn + 10; ++i) Touch(std::to_string(i));
  const auto entries = Walk();
  EXPECT_EQ(entries.size(), kNamesPerTurn + 11);
  EXPECT_EQ(std::set(entries.begin(), entries.end()).size(), entries.size());
  EXPECT_TRUE(std::is_sorted(entries.begin(), entries.begin() + kNamesPerTurn));
}

}  // namespace
}  // namespace dicom_sender
