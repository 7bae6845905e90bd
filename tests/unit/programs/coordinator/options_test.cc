#include "programs/coordinator/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/arguments.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;
using testing::Not;

class CoordinatorOptionsTest : public testing::Test {
 protected:
  // Adds a ledger and a folder if `complete` is set.
  tl::expected<CoordinatorOptions, EarlyExit> Parse(std::vector<std::string> words, bool complete = true,
                                                    std::map<std::string, std::string> variables = {}) {
    const bool has_ledger = std::find(words.begin(), words.end(), "--ledger") != words.end();
    if (complete && !has_ledger) words.insert(words.end(), {"--ledger", "l.db"});
    if (complete) words.insert(words.end(), {"--output-dir", folder_ / "out"});
    return Arguments(words, std::move(variables)).Parsed(ParseCoordinatorOptions);
  }
  std::string Refusal(const std::vector<std::string>& words, bool complete = true) {
    const auto parsed = Parse(words, complete);
    EXPECT_FALSE(parsed);
    if (parsed) return {};
    EXPECT_EQ(parsed.error().exit_status, 2);
    return parsed.error().err;
  }

  TemporaryFolder folder_;
};

TEST_F(CoordinatorOptionsTest, HasDefaults) {
  const auto options = Parse({});
  ASSERT_TRUE(options) << options.error().err;
  EXPECT_EQ(options->bind, "tcp://127.0.0.1:5555");
  EXPECT_EQ(options->ledger, "l.db");
  EXPECT_EQ(options->lease_ttl, std::chrono::seconds(60));
  EXPECT_EQ(options->associations_max, 0U);
  EXPECT_EQ(options->attempts_max, 0U);
  EXPECT_TRUE(std::filesystem::is_directory(folder_ / "out")) << "it is created";
}

TEST_F(CoordinatorOptionsTest, ReadsEveryOption) {
  const auto options =
      Parse({"--bind", "tcp://127.0.0.1:7000", "--lease-ttl", "30", "--max-associations-per-destination", "8",
             "--max-attempts", "3", "--metrics", "127.0.0.1:9464", "--log-format", "json"});
  ASSERT_TRUE(options) << options.error().err;
  EXPECT_EQ(options->bind, "tcp://127.0.0.1:7000");
  EXPECT_EQ(options->lease_ttl, std::chrono::seconds(30));
  EXPECT_EQ(options->associations_max, 8U);
  EXPECT_EQ(options->attempts_max, 3U);
  EXPECT_EQ(options->service.metrics, "127.0.0.1:9464");
  EXPECT_EQ(options->service.log_format, LogFormat::kJson);
}

TEST_F(CoordinatorOptionsTest, ReadsTheEnvironment) {
  const auto options = Parse({}, true, {{"DICOM_SENDER_LEASE_TTL", "7"}, {"DICOM_SENDER_INSECURE", "true"}});
  ASSERT_TRUE(options) << options.error().err;
  EXPECT_EQ(options->lease_ttl, std::chrono::seconds(7));
  EXPECT_TRUE(options->insecure);
}

// One environment can serve dicom-sender and the other programs.
TEST_F(CoordinatorOptionsTest, OptionsThatDifferByProgramHaveTheirOwnVariables) {
  const std::map<std::string, std::string> of_others = {
      {"DICOM_SENDER_METRICS", "127.0.0.1:1"},        {"DICOM_SENDER_LOG_FILE", "/nonexistent/log"},
      {"DICOM_SENDER_CONFIG", "/nonexistent/file"},   {"DICOM_SENDER_OUTPUT_DIR", "/proc"},
      {"DICOM_SENDER_SERVER_KEY", "coordinator.key"}, {"DICOM_SENDER_MAX_ATTEMPTS", "7"}};
  auto options = Parse({}, true, of_others);
  ASSERT_TRUE(options) << options.error().err;
  EXPECT_FALSE(options->service.metrics || options->service.log_file || options->server_key);
  EXPECT_EQ(options->attempts_max, 0U);
  options = Parse({}, true, {{"DICOM_COORDINATOR_METRICS", "127.0.0.1:2"}, {"DICOM_COORDINATOR_MAX_ATTEMPTS", "3"}});
  ASSERT_TRUE(options) << options.error().err;
  EXPECT_EQ(options->service.metrics, "127.0.0.1:2");
  EXPECT_EQ(options->attempts_max, 3U);
}

TEST_F(CoordinatorOptionsTest, TimesAcceptUnits) {
  EXPECT_EQ(Parse({"--lease-ttl", "1m30s"})->lease_ttl, std::chrono::seconds(90));
  EXPECT_THAT(Refusal({"--lease-ttl", "2h"}), HasSubstr("give a time from 5s to 1h"));
  EXPECT_THAT(Refusal({"--leader-timeout", "2m"}), HasSubstr("give a time from 1s to 1m"));
}

TEST_F(CoordinatorOptionsTest, ListensToOtherMachinesOnlyWithKeysOrInsecure) {
  for (const char* bind : {"tcp://*:5555", "tcp://0.0.0.0:5555", "tcp://192.0.2.1:5555", "tcp://[::]:5555"}) {
    EXPECT_THAT(Refusal({"--bind", bind}), HasSubstr("--insecure to accept them without keys")) << bind;
    EXPECT_TRUE(Parse({"--bind", bind, "--insecure"})) << bind;
    EXPECT_TRUE(Parse({"--bind", bind, "--server-key", "k", "--client-keys", "d"})) << bind;
  }
  EXPECT_TRUE(Parse({"--bind", "tcp://[::1]:5555"}));
}

TEST_F(CoordinatorOptionsTest, RefusesInvalidValues) {
  EXPECT_THAT(Refusal({}, /*complete=*/false), HasSubstr("--ledger is missing"));
  EXPECT_THAT(Refusal({"--server-key", "k"}), HasSubstr("belong together"));
  EXPECT_THAT(Refusal({"--client-keys", "d"}), HasSubstr("belong together"));
  EXPECT_THAT(Refusal({"--bind", "127.0.0.1:5555"}), HasSubstr("give tcp://HOST:PORT"));
  EXPECT_THAT(Refusal({"--lease-ttl", "4"}), HasSubstr("--lease-ttl: "));
  EXPECT_THAT(Refusal({"--max-attempts", "101"}), HasSubstr("--max-attempts: "));
}

TEST_F(CoordinatorOptionsTest, TheLeaderTimeoutNeedsASharedLedger) {
  EXPECT_THAT(Refusal({"--leader-timeout", "2"}), HasSubstr("leave it out, or give such a --ledger"));
  EXPECT_THAT(Refusal({"--leader-timeout", "0"}), HasSubstr("--leader-timeout: "));
  EXPECT_THAT(Refusal({"--leader-timeout", "61"}), HasSubstr("--leader-timeout: "));
  EXPECT_FALSE(Parse({})->leader_timeout);
}

#ifdef DICOM_SENDER_POSTGRESQL
TEST_F(CoordinatorOptionsTest, AcceptsADatabaseUri) {
  const auto options = Parse({"--ledger", "postgresql://u@db:5432/d", "--leader-timeout", "2"});
  ASSERT_TRUE(options) << options.error().err;
  EXPECT_EQ(options->ledger, "postgresql://u@db:5432/d");
  EXPECT_EQ(options->leader_timeout, std::chrono::seconds(2));
  EXPECT_THAT(Refusal({"--ledger", "postgresql://u:secret@db/d"}), HasSubstr("--ledger: "));
  EXPECT_THAT(Refusal({"--ledger", "postgresql://u:secret@db/d"}), Not(HasSubstr("secret")));
}

TEST_F(CoordinatorOptionsTest, LeasesMustOutlastAFailover) {
  const auto refusal = [this](const char* leader_timeout, const char* lease_ttl) {
    return Refusal({"--ledger", "postgresql://u@db/d", "--leader-timeout", leader_timeout, "--lease-ttl", lease_ttl});
  };
  EXPECT_THAT(refusal("60", "184"), HasSubstr("give --lease-ttl 185 or more, or a shorter --leader-timeout"));
  EXPECT_THAT(refusal("1", "7"), HasSubstr("give --lease-ttl 8 or more"));
  EXPECT_THAT(Refusal({"--ledger", "postgresql://u@db/d", "--lease-ttl", "19"}), HasSubstr("timeout of 5 s"));
  EXPECT_TRUE(Parse({"--ledger", "postgresql://u@db/d", "--leader-timeout", "60", "--lease-ttl", "185"}));
  EXPECT_TRUE(Parse({"--ledger", "postgresql://u@db/d", "--leader-timeout", "1", "--lease-ttl", "8"}));
  EXPECT_TRUE(Parse({"--ledger", "postgresql://u@db/d"})) << "the defaults fit";
  EXPECT_TRUE(Parse({"--lease-ttl", "5"})) << "no standby exists";
}
#else
TEST_F(CoordinatorOptionsTest, ReportsABuildWithoutPostgresql) {
  EXPECT_THAT(Refusal({"--ledger", "postgresql://u@db/d"}), HasSubstr("built without PostgreSQL"));
}
#endif

TEST_F(CoordinatorOptionsTest, HelpNamesEveryOption) {
  const auto help = Parse({"--help"}, /*complete=*/false);
  ASSERT_FALSE(help);
  EXPECT_EQ(help.error().exit_status, 0);
  for (const char* name : {"--bind", "--server-key", "--client-keys", "--insecure", "--ledger", "--output-dir",
                           "--leader-timeout", "--lease-ttl", "--max-associations-per-destination", "--max-attempts",
                           "--log-file", "--log-format", "--metrics", "--config", "--version", "Exit status"}) {
    EXPECT_THAT(help.error().out, HasSubstr(name));
  }
}

}  // namespace
}  // namespace dicom_sender
