#include "indexer/scan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <stdexcept>

#include "tests/support/example_studies.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {
namespace {

class Recorder : public ScanConsumer {
 public:
  void OnFile(const WalkEntry& entry, const HeaderResult& header) override {
    paths.push_back(entry.path);
    good += header.has_value();
    if (throw_after > 0 && paths.size() >= throw_after) throw std::runtime_error("enough");
    if (stop_after > 0 && paths.size() >= stop_after) stop.request_stop();
  }
  void OnFolderProblem(const WalkEntry&) override { ++problems; }
  void OnFolderEnd() override {
    ++folders;
    files_at_end.push_back(paths.size());
  }

  std::vector<std::string> paths;
  std::vector<std::size_t> files_at_end;
  std::size_t good = 0, folders = 0, problems = 0, throw_after = 0, stop_after = 0;
  std::stop_source stop;
};

class ScanTest : public testing::Test {
 protected:
  void Run(unsigned threads) {
    Scan(ScanRoots({folder_.path()}), true, threads, recorder_, recorder_.stop.get_token());
  }
  TemporaryFolder folder_;
  Recorder recorder_;
};

TEST_F(ScanTest, ReportsInTheOrderOfTheWalkWithAnyNumberOfThreads) {
  WriteExampleStudies(folder_.path(), 5, 30);
  WriteFile(folder_ / "study_2/zzz.txt", "no DICOM");
  FolderWalk walk(ScanRoots({folder_.path()}), true);
  std::vector<std::string> expected;
  while (const auto entry = walk.Next()) {
    if (entry->kind == WalkEntry::Kind::kFile) expected.push_back(entry->path);
  }
  for (const unsigned threads : {1U, 2U, 16U}) {
    recorder_ = {};
    Run(threads);
    EXPECT_EQ(recorder_.paths, expected) << threads;
    EXPECT_EQ(recorder_.good, 150U);
    EXPECT_EQ(recorder_.folders, 6U);
    EXPECT_EQ(recorder_.files_at_end.back(), 151U) << "a folder's end comes after its files";
  }
}

TEST_F(ScanTest, MoreFilesThanTheWindowHolds) {
  for (std::size_t i = 0; i < kScanWindowFiles + 100; ++i) WriteFile(folder_ / std::to_string(i), "");
  Run(4);
  EXPECT_EQ(recorder_.paths.size(), kScanWindowFiles + 100);
}

TEST_F(ScanTest, AnEmptyFolderCompletes) {
  Run(2);
  EXPECT_TRUE(recorder_.paths.empty());
  EXPECT_EQ(recorder_.folders, 1U);
}

TEST_F(ScanTest, StopsOnRequest) {
  for (int i = 0; i < 2000; ++i) WriteFile(folder_ / std::to_string(i), "");
  recorder_.stop_after = 1;
  Run(2);
  EXPECT_LE(recorder_.paths.size(), 2U);
}

TEST_F(ScanTest, AnExceptionOfTheConsumerEndsItAndIsRethrown) {
  for (int i = 0; i < 2000; ++i) WriteFile(folder_ / std::to_string(i), "");
  recorder_.throw_after = 10;
  EXPECT_THROW(Run(4), std::runtime_error);
}

}  // namespace
}  // namespace dicom_sender
