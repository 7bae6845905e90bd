#include "session/session_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/arguments.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;

SessionOptions Parse(const std::vector<std::string>& words) {
  SessionOptions options;
  const Program program = {.name = "feeder",
                           .about = "",
                           .groups = {InputOptions(options), DestinationOptions(options), SendingOptions(options)}};
  const auto given = Arguments(words).Parsed([&](int argc, const char* const* argv, const Environment& environment) {
    return ParseProgram(program, argc, argv, environment);
  });
  EXPECT_TRUE(given) << given.error().err;
  if (given) options.given = given->where;
  return options;
}

TEST(SessionOptions, CanBeAddedToAnyProgram) {
  const SessionOptions options = Parse(
      Words("-i a -i b -r --scan-threads 3 -a PACS -H h -p 104 -c US --dispatch as-found --max-attempts 9 "
            "--retry-for 6h --max-requests-per-association 7 --max-pdu 4096 --connect-timeout 1 --acse-timeout 2 "
            "--dimse-timeout 3 --idle-timeout 4"));
  EXPECT_THAT(options.inputs, ElementsAre("a", "b"));
  EXPECT_TRUE(options.recursive);
  EXPECT_EQ(options.scan_threads, 3U);
  EXPECT_EQ(options.called_ae, "PACS");
  EXPECT_EQ(options.host, "h");
  EXPECT_EQ(options.port, 104);
  EXPECT_EQ(options.calling_ae, "US");
  EXPECT_EQ(options.dispatch, DispatchMode::kAsFound);
  EXPECT_EQ(options.attempts_max, 9U);
  EXPECT_EQ(options.retry_for, seconds(21600));
  EXPECT_EQ(options.requests_per_association_max, 7U);
  EXPECT_EQ(options.max_pdu_bytes, 4096U);
  EXPECT_EQ(options.connect_timeout, seconds(1));
  EXPECT_EQ(options.acse_timeout, seconds(2));
  EXPECT_EQ(options.dimse_timeout, seconds(3));
  EXPECT_EQ(options.idle_timeout, seconds(4));
}

TEST(SessionOptions, MissingOptionsAreNamed) {
  const SessionOptions none;
  EXPECT_EQ(CheckRequired("feeder", none, {}).error(),
            "-i/--input, -a/--ae-title, -H/--host, -p/--port are missing: see 'feeder --help' for examples");
  EXPECT_EQ(CheckRequired("feeder", none, {.inputs = true, .destination = false}).error(),
            "-i/--input is missing: see 'feeder --help' for examples");
  EXPECT_EQ(CheckRequired("feeder", Parse({"-H", "h"}), {.inputs = false, .destination = true}).error(),
            "-a/--ae-title, -p/--port are missing: see 'feeder --help' for examples");
  EXPECT_TRUE(CheckRequired("feeder", none, {.inputs = false, .destination = false}));
  EXPECT_TRUE(CheckRequired("feeder", Parse({"-i", "a", "-a", "A", "-H", "h", "-p", "1"}), {}));
}

TEST(SessionOptions, AMissingInputIsNamedWithItsSource) {
  const TemporaryFolder folder;
  const std::string there = folder / "";
  SessionOptions options = Parse({"-i", there});
  EXPECT_TRUE(CheckInputs(options));
  options.inputs.emplace_back("/nonexistent");
  EXPECT_EQ(CheckInputs(options).error(), "--input: '/nonexistent' does not exist: check the path");
  options.given["input"] = "DICOM_SENDER_INPUT";
  EXPECT_EQ(CheckInputs(options).error(), "DICOM_SENDER_INPUT: '/nonexistent' does not exist: check the path");
}

}  // namespace
}  // namespace dicom_sender
