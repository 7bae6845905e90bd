// Runs the real dicom-sender in a test folder and reads its output files.
#pragma once

#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/e2e/records.h"
#include "tests/support/example_studies.h"
#include "tests/support/process.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_destination/test_destination.h"

namespace dicom_sender {

inline constexpr std::chrono::seconds kRunTimeout(90);  // of one dicom-sender, sanitizers included

class SenderTest : public testing::Test {
 protected:
  std::filesystem::path data() const { return folder_ / "data"; }
  std::filesystem::path out() const { return folder_ / "out"; }

  void StartDestination(DestinationBehaviour behaviour = {}) {
    destination_.SetBehaviour(std::move(behaviour));
    const auto started = destination_.Start();
    ASSERT_TRUE(started) << started.error();
    port_ = destination_.port();
  }

  // Returns the options to send data() to the destination.
  std::vector<std::string> Command(const std::vector<std::string>& more = {}) const {
    return CommandFor({"-i", data(), "-r"}, more);
  }
  std::vector<std::string> CommandFor(const std::vector<std::string>& inputs,
                                      const std::vector<std::string>& more = {}) const {
    std::vector<std::string> command = {DICOM_SENDER_PROGRAM};
    command.insert(command.end(), inputs.begin(), inputs.end());
    command.insert(command.end(), {"-a", "TEST_SCP", "-H", "127.0.0.1", "-p", std::to_string(port_)});
    command.insert(command.end(), {"--output-dir", out()});
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }
  std::vector<std::string> ResumeCommand(const std::string& session,
                                         const std::vector<std::string>& more = {}) const {
    std::vector<std::string> command = {DICOM_SENDER_PROGRAM, "--resume", session, "--output-dir", out()};
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }

  // Runs it to its end, captures its output, and returns the exit status.
  int Run(const std::vector<std::string>& more = {}) { return RunCommand(Command(more)); }
  int Resume(const std::vector<std::string>& more = {}) { return RunCommand(ResumeCommand(Session(), more)); }
  int RunCommand(const std::vector<std::string>& command, const std::vector<std::string>& environment = {}) {
    result_ = RunProcess(command, kRunTimeout, environment);
    if (!result_.end) {
      ADD_FAILURE() << "it did not end in time\n" << result_.output << result_.errors;
      return -1;
    }
    EXPECT_EQ(result_.end->signal, 0) << result_.errors;
    return result_.end->exit_status;
  }

  std::vector<std::filesystem::path> Files(const std::string& suffix) const {
    std::vector<std::filesystem::path> files;
    if (!std::filesystem::exists(out())) return files;
    for (const auto& entry : std::filesystem::directory_iterator(out())) {
      if (entry.path().string().ends_with(suffix)) files.push_back(entry.path());
    }
    return files;
  }

  // Returns the id of the only session in out().
  std::string Session() const {
    const auto logs = Files(".log");
    EXPECT_EQ(logs.size(), 1U);
    if (logs.empty()) return {};
    const std::string name = logs[0].stem();
    return name.substr(std::string("dicom_sender_").size());
  }
  rapidjson::Document Summary() const {
    rapidjson::Document document;
    const auto file = out() / ("dicom_sender_summary_" + Session() + ".json");
    document.Parse(ReadFile(file).c_str());
    EXPECT_FALSE(document.HasParseError()) << file << "\n" << result_.output << result_.errors;
    if (document.HasParseError()) document.SetObject();
    return document;
  }
  // Returns the failure reason of that instance; empty if it has not failed.
  static std::string FailureOf(const rapidjson::Value& summary, const std::string& sop_instance_uid) {
    for (const auto& failure : summary["failures"].GetArray()) {
      if (failure["sop_instance_uid"].GetString() == sop_instance_uid) return failure["reason"].GetString();
    }
    return {};
  }
  // Waits until all associations are closed: the program may end a moment before the destination has logged that.
  DestinationLog EndedLog() const {
    EXPECT_TRUE(destination_.WaitFor([](const auto& log) { return log.open_associations == 0; }, kRunTimeout));
    return destination_.Log();
  }

  // Returns the last run's output and errors, and the bytes of all files in out().
  std::string AllOutputs() const {
    std::string all = result_.output + result_.errors;
    if (!std::filesystem::exists(out())) return all;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(out())) all += ReadFile(entry.path());
    return all;
  }

  TemporaryFolder folder_;
  TestDestination destination_{{.port = 0, .log_file = "", .store_folder = "", .hash_datasets = true}};
  std::uint16_t port_ = 0;
  ProcessResult result_;
};

}  // namespace dicom_sender
