#include "programs/worker/options.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/arguments.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;

auto Parse(std::vector<std::string> words, std::map<std::string, std::string> variables = {}) {
  return Arguments(std::move(words), std::move(variables)).Parsed(ParseWorkerOptions);
}

TEST(WorkerOptions, HaveDefaults) {
  const auto options = Parse({});
  ASSERT_TRUE(options) << options.error().err;
  EXPECT_EQ(options->connection.coordinators(), Endpoints{"tcp://127.0.0.1:5555"});
  EXPECT_EQ(options->threads, 1U);
  EXPECT_EQ(options->grace_period, std::chrono::seconds(60));
  EXPECT_FALSE(options->worker_id);
}

TEST(WorkerOptions, ReadEveryOption) {
  const auto options = Parse({"--coordinator", "tcp://host:1", "-t", "4", "--path-map", "/data=/mnt/a", "--path-map",
                              "/other=/mnt/b", "--worker-id", "w", "--grace-period", "10m"});
  ASSERT_TRUE(options) << options.error().err;
  EXPECT_EQ(options->connection.coordinators(), Endpoints{"tcp://host:1"});
  EXPECT_EQ(options->threads, 4U);
  EXPECT_EQ(options->path_map.Apply("/data/1"), "/mnt/a/1");
  EXPECT_EQ(options->path_map.Apply("/other/1"), "/mnt/b/1");
  EXPECT_EQ(options->worker_id, "w");
  EXPECT_EQ(options->grace_period, std::chrono::minutes(10));
}

TEST(WorkerOptions, SeveralPathMapsInTheEnvironmentAreSeparatedByCommas) {
  const auto options = Parse({}, {{"DICOM_SENDER_PATH_MAP", "/data=/mnt/a,/other=/mnt/b"}});
  ASSERT_TRUE(options) << options.error().err;
  EXPECT_EQ(options->path_map.Apply("/other/1"), "/mnt/b/1");
}

TEST(WorkerOptions, SeveralCoordinatorsAreSeparatedByCommasOrRepeated) {
  const Endpoints three = {"tcp://a:1", "tcp://b:2", "tcp://[::1]:3"};
  const auto words = Parse({"--coordinator", "tcp://a:1,tcp://b:2", "--coordinator", "tcp://[::1]:3"});
  ASSERT_TRUE(words) << words.error().err;
  EXPECT_EQ(words->connection.coordinators(), three);
  EXPECT_EQ(words->connection.text(), "tcp://a:1,tcp://b:2,tcp://[::1]:3");
  const auto variable = Parse({}, {{"DICOM_SENDER_COORDINATOR", "tcp://a:1,tcp://b:2,tcp://[::1]:3"}});
  ASSERT_TRUE(variable) << variable.error().err;
  EXPECT_EQ(variable->connection.coordinators(), three);
  TemporaryFolder folder;
  std::ofstream(folder / "list.toml") << "coordinator = ['tcp://a:1', 'tcp://b:2,tcp://[::1]:3']\n";
  const auto file = Parse({"--config", folder / "list.toml"});
  ASSERT_TRUE(file) << file.error().err;
  EXPECT_EQ(file->connection.coordinators(), three);
}

TEST(WorkerOptions, RefuseInvalidListsOfCoordinators) {
  const auto refusal = [](const std::string& list) {
    const auto parsed = Parse({}, {{"DICOM_SENDER_COORDINATOR", list}});
    return parsed ? std::string() : parsed.error().err;
  };
  EXPECT_THAT(refusal("tcp://a:1,,tcp://b:2"), HasSubstr("DICOM_SENDER_COORDINATOR: '' is invalid"));
  EXPECT_THAT(refusal("tcp://a:1,"), HasSubstr("'' is invalid"));
  EXPECT_THAT(refusal("tcp://a:1 ,tcp://b:2"), HasSubstr("'tcp://a:1 ' is invalid"));
  EXPECT_THAT(refusal("tcp://a:1,tcp://b:2,tcp://a:1"), HasSubstr("'tcp://a:1' is given twice"));
  std::string list = "tcp://a:1";
  for (std::size_t i = 2; i <= kEndpointsMax; ++i) list += fmt::format(",tcp://a:{}", i);
  EXPECT_EQ(refusal(list), "");
  EXPECT_THAT(refusal(list + ",tcp://b:1"), HasSubstr("more than 8 coordinators"));
}

TEST(WorkerOptions, RefuseInvalidValues) {
  const auto refusal = [](const std::vector<std::string>& words) {
    const auto parsed = Parse(words);
    return parsed ? std::string() : parsed.error().err;
  };
  EXPECT_THAT(refusal({"--path-map", "data"}), HasSubstr("--path-map: 'data' is not a pair of absolute paths"));
  EXPECT_THAT(refusal({"--worker-id", std::string(256, 'w')}),
              HasSubstr("--worker-id: a name of 256 bytes: give 1 to 255 bytes"));
  EXPECT_THAT(refusal({"--worker-id", "w\xff"}), HasSubstr("--worker-id: 'w\xEF\xBF\xBD' is not a name: use UTF-8"));
  EXPECT_THAT(refusal({"--worker-id", "a\nb"}), HasSubstr("--worker-id: 'a\\nb' is not a name"));
  EXPECT_THAT(refusal({"-t", "0"}), HasSubstr("--threads: "));
  EXPECT_THAT(refusal({"--coordinator", "host:5555"}), HasSubstr("--coordinator: "));
  EXPECT_THAT(refusal({"--coordinator", "tcp://*:5555"}), HasSubstr("--coordinator: "));
}

}  // namespace
}  // namespace dicom_sender
