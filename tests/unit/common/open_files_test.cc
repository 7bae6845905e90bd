#include "common/open_files.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

namespace dicom_sender {
namespace {

class OpenFilesTest : public testing::Test {
 protected:
  OpenFilesTest() { getrlimit(RLIMIT_NOFILE, &before_); }
  ~OpenFilesTest() override { setrlimit(RLIMIT_NOFILE, &before_); }

  rlimit before_{};
};

TEST_F(OpenFilesTest, RaisesTheLimitToTheHardLimit) {
  const rlimit few = {64, before_.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  EXPECT_TRUE(AllowOpenFiles(65));
  rlimit now{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &now), 0);
  EXPECT_EQ(now.rlim_cur, before_.rlim_max);
}

TEST_F(OpenFilesTest, ALowLimitIsReportedWithAdvice) {
  if (before_.rlim_max >= 4'000'000'000U) GTEST_SKIP() << "the system has no limit";
  const unsigned limit = static_cast<unsigned>(before_.rlim_max);
  EXPECT_TRUE(AllowOpenFiles(limit));
  const std::string sentence = std::to_string(limit) + " open files are allowed but " + std::to_string(limit + 1) +
                               " are needed: raise `ulimit -n`";
  EXPECT_EQ(AllowOpenFiles(limit + 1).error(), sentence);
  EXPECT_EQ(AllowOpenFiles(limit + 1, "give fewer --threads").error(), sentence + ", or give fewer --threads");
}

}  // namespace
}  // namespace dicom_sender
