#include "programs/ctl/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/arguments.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;

constexpr const char* kSession = "5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3a";

auto Parse(std::vector<std::string> words, std::map<std::string, std::string> variables = {}) {
  return Arguments(std::move(words), std::move(variables)).Parsed(ParseCtlOptions);
}
std::string Refusal(const std::vector<std::string>& words) {
  const auto parsed = Parse(words);
  EXPECT_FALSE(parsed);
  return parsed ? std::string() : parsed.error().err;
}

TEST(CtlOptions, EachCommandIsKnown) {
  const std::pair<std::vector<std::string>, CtlCommand> cases[] = {
      {{"sessions"}, CtlCommand::kSessions},         {{"show", kSession}, CtlCommand::kShow},
      {{"summary", kSession}, CtlCommand::kSummary}, {{"failures", kSession}, CtlCommand::kFailures},
      {{"workers"}, CtlCommand::kWorkers},           {{"destinations"}, CtlCommand::kDestinations},
      {{"pause", kSession}, CtlCommand::kPause},     {{"resume", kSession}, CtlCommand::kResume},
      {{"cancel", kSession}, CtlCommand::kCancel},   {{"requeue", kSession}, CtlCommand::kRequeue},
      {{"drain", "worker 1"}, CtlCommand::kDrain},   {{"keygen", "name"}, CtlCommand::kKeygen},
  };
  for (const auto& [words, command] : cases) {
    const auto options = Parse(words);
    ASSERT_TRUE(options) << words[0] << ": " << options.error().err;
    EXPECT_EQ(options->command, command) << words[0];
    EXPECT_EQ(options->subject, words.size() > 1 ? words[1] : "") << words[0];
  }
}

TEST(CtlOptions, OptionsMayComeAnywhere) {
  const auto options = Parse({"--format", "json", "requeue", "--status", "a700", kSession, "--study", "1.2"});
  ASSERT_TRUE(options) << options.error().err;
  EXPECT_EQ(options->format, CtlFormat::kJson);
  EXPECT_EQ(options->status, 0xA700);
  EXPECT_EQ(options->study, "1.2");
}

TEST(CtlOptions, RequeueCanBeLimitedByReasonAndWorker) {
  const std::string longest(512, 'r');
  const auto options = Parse({"requeue", kSession, "--reason", longest, "--worker", std::string(255, 'w')});
  ASSERT_TRUE(options) << options.error().err;
  EXPECT_EQ(options->reason, longest);
  EXPECT_EQ(options->worker, std::string(255, 'w'));
  EXPECT_THAT(Refusal({"requeue", kSession, "--reason", longest + "r"}), HasSubstr("--reason"));
  EXPECT_THAT(Refusal({"requeue", kSession, "--worker", std::string(256, 'w')}), HasSubstr("--worker"));
  for (const char* option : {"--reason", "--worker"}) {
    EXPECT_THAT(Refusal({"requeue", kSession, option, ""}), HasSubstr(option));
    EXPECT_THAT(Refusal({"failures", kSession, option, "x"}), HasSubstr(std::string(option) + " does not belong to"));
  }
}

TEST(CtlOptions, RefuseInvalidValues) {
  EXPECT_THAT(Refusal({}), HasSubstr("command missing"));
  EXPECT_THAT(Refusal({"sesions"}), HasSubstr("Unknown command 'sesions'. Did you mean sessions?"));
  EXPECT_THAT(Refusal({"show"}), HasSubstr("'show' needs a SESSION"));
  EXPECT_THAT(Refusal({"show", "abc"}), HasSubstr("'abc' is not a session id"));
  EXPECT_THAT(Refusal({"drain", ""}), HasSubstr("'' is not a worker"));
  EXPECT_THAT(Refusal({"drain", "w\xff"}), HasSubstr("'w\xEF\xBF\xBD' is not a worker"));
  EXPECT_THAT(Refusal({"requeue", kSession, "--study", "1.\xff"}), HasSubstr("--study"));
  EXPECT_THAT(Refusal({"requeue", kSession, "--study", ""}), HasSubstr("--study"));
  EXPECT_THAT(Refusal({"workers", "w"}), HasSubstr("'workers' takes no argument: leave out 'w'"));
  EXPECT_THAT(Refusal({"show", kSession, "--status", "A700"}), HasSubstr("--status does not belong to 'show'"));
  EXPECT_THAT(Refusal({"pause", kSession, "--retry-failed"}), HasSubstr("--retry-failed does not belong to 'pause'"));
  for (const char* status : {"A7", "A7000", "G700", "", "-700", "0x70"}) {
    EXPECT_THAT(Refusal({"requeue", kSession, "--status", status}), HasSubstr("--status")) << status;
  }
}

TEST(CtlOptions, VariablesOfOtherCommandsAreIgnored) {
  EXPECT_TRUE(Parse({"sessions"}, {{"DICOM_SENDER_OUTPUT_DIR", "/data"}}));
}

}  // namespace
}  // namespace dicom_sender
