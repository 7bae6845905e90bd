#include "programs/indexer/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/arguments.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;

constexpr const char* kSession = "5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3a";

class IndexerOptionsTest : public testing::Test {
 protected:
  tl::expected<IndexerProgramOptions, EarlyExit> Parse(std::vector<std::string> words) {
    words.insert(words.end(), {"-i", folder_.path()});
    return Arguments(words).Parsed(ParseIndexerOptions);
  }
  std::string Refusal(const std::vector<std::string>& words) {
    const auto parsed = Parse(words);
    return parsed ? std::string() : parsed.error().err;
  }

  TemporaryFolder folder_;
};

TEST_F(IndexerOptionsTest, ANewSessionNeedsADestination) {
  const auto options = Parse({"-r", "-a", "PACS", "-H", "host", "-p", "104", "--dispatch", "as-found", "--wait"});
  ASSERT_TRUE(options) << options.error().err;
  EXPECT_EQ(options->called_ae, "PACS");
  EXPECT_EQ(options->calling_ae, kDefaultCallingAe);
  EXPECT_EQ(options->dispatch, DispatchMode::kAsFound);
  EXPECT_TRUE(options->wait);
  EXPECT_THAT(Refusal({"-a", "PACS"}), HasSubstr("-H/--host, -p/--port are missing"));
}

TEST_F(IndexerOptionsTest, AnExistingSessionKeepsItsDestinationAndSettings) {
  const auto options = Parse({"--session", kSession, "-r"});
  ASSERT_TRUE(options) << options.error().err;
  EXPECT_EQ(options->session, kSession);
  EXPECT_THAT(Refusal({"--session", kSession, "-a", "PACS"}),
              HasSubstr("--ae-title: the session has it already: leave it out with --session"));
  EXPECT_THAT(Refusal({"--session", kSession, "--retry-for", "1h"}), HasSubstr("--retry-for: "));
  EXPECT_THAT(Refusal({"--session", "abc"}), HasSubstr("--session: 'abc' is not a session id"));
}

TEST_F(IndexerOptionsTest, ADryRunNeedsNoDestinationAndNoSession) {
  const auto options = Parse({"--dry-run", "--format", "json"});
  ASSERT_TRUE(options) << options.error().err;
  EXPECT_TRUE(options->dry_run);
  EXPECT_EQ(options->format, PlanFormat::kJson);
  EXPECT_TRUE(Parse({"--dry-run", "-a", "PACS", "-H", "host", "-p", "104"}));
  EXPECT_THAT(Refusal({"--dry-run", "-a", "PACS"}), HasSubstr("-H/--host, -p/--port are missing"));
  EXPECT_THAT(Refusal({"--dry-run", "--session", kSession}), HasSubstr("--session does not go with --dry-run"));
  EXPECT_THAT(Refusal({"--dry-run", "--wait"}), HasSubstr("--wait does not go with --dry-run"));
  EXPECT_THAT(Refusal({"--session", kSession, "--format", "json"}), HasSubstr("--format is only for --dry-run"));
}

TEST_F(IndexerOptionsTest, PathsMayBePositionalArguments) {
  const auto options = Parse({folder_.path(), "--session", kSession});
  ASSERT_TRUE(options) << options.error().err;
  EXPECT_EQ(options->inputs, (std::vector<std::string>{folder_.path(), folder_.path()}));
}

TEST_F(IndexerOptionsTest, TheInputMustExist) {
  EXPECT_THAT(Refusal({"--session", kSession, "-i", folder_ / "nowhere"}), HasSubstr("nowhere"));
}

}  // namespace
}  // namespace dicom_sender
