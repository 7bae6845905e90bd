#include "common/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <sstream>
#include <thread>

#include "common/time.h"
#include "tests/support/process.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {
namespace {

using testing::EndsWith;
using testing::MatchesRegex;

class LogTest : public testing::Test {
 protected:
  ~LogTest() override { CloseLog(); }

  std::string Text() const {
    std::ifstream in(file_);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }
  std::vector<std::string> Lines() const {
    std::istringstream in(Text());
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }
  bool WaitForText(const std::string& text) const {
    for (const TimePoint end = MonotonicNow() + std::chrono::seconds(20); MonotonicNow() < end;
         std::this_thread::yield()) {
      if (Text().find(text) != std::string::npos) return true;
    }
    return false;
  }

  TemporaryFolder folder_;
  std::string file_ = folder_ / "run.log";
};

constexpr const char* kTime =
    "20[0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]\\.[0-9][0-9][0-9]Z ";

TEST_F(LogTest, TextHasTimeLevelAndMessage) {
  ASSERT_TRUE(OpenLog(file_, LogFormat::kText, true));
  spdlog::debug("a");
  spdlog::info("Thread {} starting with {} studies", 0, 3);
  spdlog::warn("c");
  spdlog::error("d");
  const auto lines = Lines();  // a warning is flushed at once, together with earlier messages
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_THAT(lines[0], MatchesRegex(std::string(kTime) + "DEBUG a"));
  EXPECT_THAT(lines[1], MatchesRegex(std::string(kTime) + "INFO  Thread 0 starting with 3 studies"));
  EXPECT_THAT(lines[2], MatchesRegex(std::string(kTime) + "WARN  c"));
  EXPECT_THAT(lines[3], MatchesRegex(std::string(kTime) + "ERROR d"));
}

TEST_F(LogTest, DebugOnlyIfVerbose) {
  ASSERT_TRUE(OpenLog(file_, LogFormat::kText, false));
  spdlog::debug("a");
  spdlog::warn("b");
  EXPECT_EQ(Lines().size(), 1U);
}

TEST_F(LogTest, WithoutAFileItGoesToStandardErrorAtOnce) {
  testing::internal::CaptureStderr();
  ASSERT_TRUE(OpenLog(std::nullopt, LogFormat::kText, false));
  spdlog::debug("a");
  spdlog::info("b");
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_THAT(text, MatchesRegex(std::string(kTime) + "INFO  b\n"));
  testing::internal::CaptureStderr();
  ASSERT_TRUE(OpenLog(std::nullopt, LogFormat::kJson, false));
  spdlog::warn("c");
  EXPECT_THAT(testing::internal::GetCapturedStderr(), MatchesRegex("\\{\"time\":.*\"message\":\"c\"\\}\n"));
}

TEST_F(LogTest, AMessageCannotForgeALine) {
  ASSERT_TRUE(OpenLog(file_, LogFormat::kText, false));
  spdlog::warn("sent /data/a\n2024-09-10T15:30:15.123Z INFO  forged \x1B[31m\xFF");
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_NE(lines[0].find("/data/a\\n2024"), std::string::npos) << lines[0];
  EXPECT_NE(lines[0].find("\\x1b[31m\xEF\xBF\xBD"), std::string::npos) << lines[0];
}

TEST_F(LogTest, JsonHasOneObjectPerLine) {
  ASSERT_TRUE(OpenLog(file_, LogFormat::kJson, false));
  const std::string message = "a \"b\" \\ /ä\n\t\x1B\x7F \xC2\x9B \xC2\xA0 c";
  spdlog::warn("{}", message);
  spdlog::error("not UTF-8: \xFF");
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 2U);
  rapidjson::Document first, second;
  ASSERT_FALSE(first.Parse(lines[0].c_str()).HasParseError()) << lines[0];
  ASSERT_FALSE((second.Parse<rapidjson::kParseValidateEncodingFlag>(lines[1].c_str()).HasParseError())) << lines[1];
  EXPECT_EQ(first.MemberCount(), 3U);
  EXPECT_THAT(std::string(first["time"].GetString()) + " ", MatchesRegex(kTime));
  EXPECT_STREQ(first["level"].GetString(), "WARN");
  EXPECT_EQ(first["message"].GetString(), message);
  EXPECT_STREQ(second["message"].GetString(), "not UTF-8: \xEF\xBF\xBD");
  for (const char c : lines[0]) EXPECT_TRUE(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F) << lines[0];
  EXPECT_EQ(lines[0].find("\xC2\x9B"), std::string::npos) << "a terminal may obey it";
}

TEST_F(LogTest, JsonHasTheFieldsOfTheScopes) {
  ASSERT_TRUE(OpenLog(file_, LogFormat::kJson, false));
  {
    const ScopedLogFields study({.session = "s", .study = "1.2"});
    spdlog::warn("a");
    const ScopedLogFields instance({.study = "1.3", .sop_instance = "1.4", .status = "A700", .path = "/data/\xFF"});
    spdlog::warn("b");
    std::thread([] { spdlog::warn("of another thread"); }).join();
  }
  spdlog::warn("c");
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_THAT(lines[0], EndsWith(R"("message":"a","session":"s","study":"1.2"})"));
  EXPECT_THAT(lines[1], EndsWith("\"message\":\"b\",\"session\":\"s\",\"study\":\"1.3\",\"sop_instance\":\"1.4\","
                                 "\"status\":\"A700\",\"path\":\"/data/\xEF\xBF\xBD\"}"));
  EXPECT_THAT(lines[2], EndsWith(R"("message":"of another thread"})"));
  EXPECT_THAT(lines[3], EndsWith(R"("message":"c"})"));
}

TEST_F(LogTest, TheTextHasNoFields) {
  ASSERT_TRUE(OpenLog(file_, LogFormat::kText, false));
  const ScopedLogFields fields({.session = "s"});
  spdlog::warn("a");
  EXPECT_THAT(Lines().at(0), EndsWith("WARN  a"));
}

TEST_F(LogTest, AppendsToAFileThatExists) {
  for (const char* message : {"first", "second"}) {
    ASSERT_TRUE(OpenLog(file_, LogFormat::kText, false));
    spdlog::warn(message);
    CloseLog();
  }
  EXPECT_EQ(Lines().size(), 2U);
}

TEST_F(LogTest, NothingIsLoggedAfterClose) {
  ASSERT_TRUE(OpenLog(file_, LogFormat::kText, false));
  spdlog::info("before");
  CloseLog();
  spdlog::warn("after");
  ASSERT_EQ(Lines().size(), 1U);
  EXPECT_NE(Text().find("before"), std::string::npos) << "closing flushes";
}

TEST_F(LogTest, MessagesWithoutAWarningAreFlushedSoon) {
  ASSERT_TRUE(OpenLog(file_, LogFormat::kText, false));
  spdlog::info("soon");
  EXPECT_TRUE(WaitForText("soon"));
}

TEST_F(LogTest, AFileThatCannotBeOpenedIsReportedInOneSentence) {
  const auto opened = OpenLog(folder_.path(), LogFormat::kText, false);
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().find(folder_.path()), std::string::npos) << opened.error();
  EXPECT_EQ(opened.error().find('\n'), std::string::npos);
}

// Runs in a child process, because a hard limit on the size of files cannot be raised again.
TEST_F(LogTest, AFullDiskNeitherCrashesNorFloodsStandardError) {
  const std::string errors = folder_ / "stderr";
  const pid_t child = fork();
  if (child == 0) {
    if (freopen(errors.c_str(), "w", stderr) == nullptr) _exit(10);
    signal(SIGXFSZ, SIG_IGN);  // write() then fails, as it does with ENOSPC
    const rlimit limit = {4096, 4096};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(11);
    if (!OpenLog(file_, LogFormat::kText, false)) _exit(12);
    for (int i = 0; i < 1000; ++i) spdlog::warn("a message that is some bytes long, number {}", i);
    CloseLog();
    fflush(stderr);
    _exit(0);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(std::filesystem::file_size(errors), 0U);
  EXPECT_LE(std::filesystem::file_size(file_), 4096U);
  EXPECT_GT(std::filesystem::file_size(file_), 2048U) << "what fitted is there";
}

}  // namespace
}  // namespace dicom_sender
