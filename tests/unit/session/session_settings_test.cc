#include "session/session_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

#include "proto/words.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;

SessionOptions Options() {
  SessionOptions options;
  options.inputs = {"data"};
  options.recursive = true;
  options.called_ae = "PACS";
  options.calling_ae = "US";
  options.host = "pacs.example";
  options.port = 104;
  options.retry_for = std::chrono::minutes(10);
  return options;
}

TEST(NewSessionSettings, IncludesEveryOption) {
  const auto settings = NewSessionSettings(Options(), "S");
  EXPECT_EQ(settings.session(), "S");
  EXPECT_EQ(DestinationText(settings.destination()), "PACS:104@pacs.example");
  EXPECT_EQ(settings.destination().calling_ae(), "US");
  EXPECT_EQ(settings.inputs(0), (std::filesystem::current_path() / "data").string()) << "for a resume from elsewhere";
  EXPECT_TRUE(settings.recursive());
  EXPECT_EQ(settings.retry_for_ms(), 600'000U);
  EXPECT_EQ(settings.attempts_max(), 5U);
  EXPECT_EQ(settings.dispatch(), wire::DISPATCH_AFTER_SCAN);
  const auto& send = settings.send_options();
  EXPECT_EQ(send.max_pdu_bytes(), 131072U);
  EXPECT_EQ(send.async_window(), 16U);
  EXPECT_EQ(send.connect_timeout_ms(), 10'000U);
  EXPECT_EQ(send.acse_timeout_ms(), 30'000U);
  EXPECT_EQ(send.dimse_timeout_ms(), 120'000U);
  EXPECT_EQ(send.idle_timeout_ms(), 60'000U);
}

TEST(NewSessionSettings, InputPathsAreNormalized) {
  const std::string data = std::filesystem::current_path() / "data";
  for (const std::string& input :
       std::vector<std::string>{"data", "./data", "data/", "data//", ".//data/.", data, data + "/"}) {
    SessionOptions options;
    options.inputs = {input};
    EXPECT_EQ(NewSessionSettings(options, "S").inputs(0), data) << input;
  }
  SessionOptions options;
  options.inputs = {"/", "/usr/../usr/"};
  EXPECT_EQ(NewSessionSettings(options, "S").inputs(0), "/");
  EXPECT_EQ(NewSessionSettings(options, "S").inputs(1), std::filesystem::canonical("/usr").string());
}

TEST(NewSessionSettings, LeavesTheDefaultOfRetryForToTheCoordinator) {
  EXPECT_FALSE(NewSessionSettings(SessionOptions{}, "S").has_retry_for_ms());
}

TEST(ResumedSessionSettings, WithoutOptionsNothingChanges) {
  const auto known = NewSessionSettings(Options(), "S");
  const auto resumed = ResumedSessionSettings(SessionOptions{}, /*retry_failed=*/false, known);
  ASSERT_TRUE(resumed);
  EXPECT_TRUE(resumed->resume());
  auto expected = known;
  expected.set_resume(true);
  EXPECT_EQ(resumed->SerializeAsString(), expected.SerializeAsString());
}

TEST(ResumedSessionSettings, SendingOptionsMayBeChanged) {
  SessionOptions options;
  options.dimse_timeout = std::chrono::seconds(7);
  options.retry_for = std::chrono::hours(6);
  options.attempts_max = 9;
  options.dispatch = DispatchMode::kAsFound;
  options.given = {{"dimse-timeout", "x"}, {"retry-for", "x"}, {"max-attempts", "x"}, {"dispatch", "x"}};
  const auto resumed = ResumedSessionSettings(options, /*retry_failed=*/true, NewSessionSettings(Options(), "S"));
  ASSERT_TRUE(resumed);
  EXPECT_EQ(resumed->send_options().dimse_timeout_ms(), 7000U);
  EXPECT_EQ(resumed->send_options().acse_timeout_ms(), 30'000U) << "was not given";
  EXPECT_EQ(resumed->retry_for_ms(), 6U * 3'600'000U);
  EXPECT_EQ(resumed->attempts_max(), 9U);
  EXPECT_EQ(resumed->dispatch(), wire::DISPATCH_AS_FOUND);
  EXPECT_TRUE(resumed->retry_failed());
}

TEST(ResumedSessionSettings, ADryRunWithoutADestinationAcceptsOne) {
  SessionOptions dry_run;
  dry_run.inputs = {"data"};
  dry_run.calling_ae = "US";
  const wire::OpenSession known = NewSessionSettings(dry_run, "S");
  SessionOptions options;
  const auto refused = ResumedSessionSettings(options, false, known);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error(), HasSubstr("give -a, -H, and -p"));
  options.called_ae = "PACS";
  options.host = "pacs.example";
  options.port = 104;
  options.given = {{"ae-title", "-a"}, {"host", "-H"}, {"port", "-p"}};
  auto settings = ResumedSessionSettings(options, false, known);
  ASSERT_TRUE(settings) << settings.error();
  EXPECT_EQ(DestinationText(settings->destination()), "PACS:104@pacs.example");
  EXPECT_EQ(settings->destination().calling_ae(), "US") << "as in the dry run";
  options.calling_ae = "ELSE";
  options.given["calling-ae"] = "-c";
  settings = ResumedSessionSettings(options, false, known);
  ASSERT_TRUE(settings) << settings.error();
  EXPECT_EQ(settings->destination().calling_ae(), "ELSE");
}

TEST(ResumedSessionSettings, InputAndDestinationCannotBeChanged) {
  const auto known = NewSessionSettings(Options(), "S");
  const auto refused = [&](const char* name, auto change) {
    SessionOptions options = Options();
    change(options);
    options.given = {{name, std::string("--") + name}};
    const auto resumed = ResumedSessionSettings(options, /*retry_failed=*/false, known);
    ASSERT_FALSE(resumed) << name;
    EXPECT_THAT(resumed.error(), HasSubstr(std::string("--") + name));
  };
  refused("ae-title", [](SessionOptions& o) { o.called_ae = "OTHER"; });
  refused("calling-ae", [](SessionOptions& o) { o.calling_ae = "OTHER"; });
  refused("host", [](SessionOptions& o) { o.host = "other"; });
  refused("port", [](SessionOptions& o) { o.port = 11112; });
  refused("input", [](SessionOptions& o) { o.inputs = {"data", "more"}; });
  refused("recursive", [](SessionOptions& o) { o.recursive = false; });

  SessionOptions same = Options();
  for (const char* name : {"ae-title", "calling-ae", "host", "port", "input", "recursive"}) same.given[name] = name;
  EXPECT_TRUE(ResumedSessionSettings(same, /*retry_failed=*/false, known)) << "the same command followed by --resume";
}

}  // namespace
}  // namespace dicom_sender
