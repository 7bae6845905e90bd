// Ctrl-C and SIGTERM.
#include <csignal>
#include <sstream>
#include <thread>

#include "tests/e2e/sender_fixture.h"
#include "tests/support/silent_name_server.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::seconds kAtOnce(20);  // far below the DIMSE time-out of 120 s, sanitizers included

class InterruptTest : public SenderTest {
 protected:
  // Keeps the process' output and returns its exit status.
  int WaitForEnd(ChildProcess& sender, std::chrono::seconds timeout = kRunTimeout) {
    result_ = {sender.Wait(timeout), sender.Output(), sender.Errors()};
    if (!result_.end) {
      ADD_FAILURE() << "it did not end in time\n" << result_.output << result_.errors;
      return -1;
    }
    EXPECT_EQ(result_.end->signal, 0) << result_.errors;
    return result_.end->exit_status;
  }

  // Waits until the signal was delivered, because a second one of the same kind that is still pending would be lost.
  static bool WaitUntilTaken(const ChildProcess& sender, int signal_number) {
    const auto deadline = std::chrono::steady_clock::now() + kRunTimeout;
    while (std::chrono::steady_clock::now() < deadline) {
      std::istringstream status(ReadFile("/proc/" + std::to_string(sender.id()) + "/status"));
      std::uint64_t pending = 0;
      for (std::string line; std::getline(status, line);) {
        if (line.starts_with("ShdPnd:")) pending = std::stoull(line.substr(7), nullptr, 16);
      }
      if ((pending >> (signal_number - 1) & 1) == 0) return true;
    }
    return false;
  }

  std::string PrintedResumeCommand() const {
    std::istringstream lines(result_.output);
    for (std::string line; std::getline(lines, line);) {
      const auto at = line.find("dicom-sender --resume");
      if (at != std::string::npos) return line.substr(at);
    }
    return {};
  }
  // Runs the command as if pasted into a shell with the program in its PATH.
  int RunInShell(const std::string& command) {
    const std::string folder = std::filesystem::path(DICOM_SENDER_PROGRAM).parent_path();
    return RunCommand({"env", "PATH=" + folder + ":" + std::getenv("PATH"), "sh", "-c", command});
  }

  void ExpectOrderlyStop(std::uint64_t instances) {
    const auto log = EndedLog();
    for (const auto& association : log.associations) EXPECT_EQ(association.end, AssociationEnd::kReleased);
    for (const auto& instance : log.instances) EXPECT_EQ(instance.status, 0x0000) << "in flight and not finished";
    const auto summary = Summary();
    ASSERT_TRUE(summary.HasMember("interrupted"));
    EXPECT_TRUE(summary["interrupted"].IsTrue());
    const std::uint64_t pending = Number(summary, "pending");
    EXPECT_GT(pending, 0U);
    ExpectCountsAddUp(summary, pending);
    EXPECT_EQ(Number(summary, "total_files"), instances);
    EXPECT_EQ(Number(summary, "failed_transfers"), 0U);
    EXPECT_EQ(Number(summary, "successful_transfers"), Stored(log)) << "exactly the answered instances are reported";
  }
  void ExpectCompletedExactlyOnce(std::uint64_t instances) {
    const auto times = StoredTimes(destination_.Log());
    EXPECT_EQ(times.size(), instances);
    for (const auto& [uid, count] : times) EXPECT_EQ(count, 1U) << uid;
    const auto summary = Summary();
    ExpectCountsAddUp(summary);
    EXPECT_EQ(Number(summary, "successful_transfers"), instances);
    EXPECT_EQ(Number(summary, "resends"), 0U);
    EXPECT_FALSE(summary["interrupted"].GetBool());
  }

  void InterruptAndGoOn(int signal_number) {
    WriteExampleStudies(data(), 3, 30);
    StartDestination({.rules = {InstanceRule{.delay = std::chrono::milliseconds(30)}}});
    ChildProcess sender(Command({"-t", "2"}));
    ASSERT_TRUE(destination_.WaitFor([](const auto& log) { return Stored(log) >= 5; }, kRunTimeout));
    sender.Signal(signal_number);
    EXPECT_EQ(WaitForEnd(sender), 4) << result_.output << result_.errors;
    ExpectOrderlyStop(90);
    EXPECT_EQ(Files(".db").size(), 1U);

    destination_.SetBehaviour({});
    ASSERT_NE(PrintedResumeCommand(), "") << result_.output;
    EXPECT_EQ(RunInShell(PrintedResumeCommand()), 0) << result_.output << result_.errors;
    ExpectCompletedExactlyOnce(90);
  }
};

TEST_F(InterruptTest, CtrlCFinishesInstancesInFlightAndThePrintedCommandResumes) { InterruptAndGoOn(SIGINT); }

TEST_F(InterruptTest, SigtermDoesTheSame) { InterruptAndGoOn(SIGTERM); }

TEST_F(InterruptTest, ThePrintedCommandIsQuotedForAShell) {
  const auto odd = folder_ / "it's $HOME here";
  WriteExampleStudies(data(), 1, 10);
  StartDestination({.rules = {InstanceRule{.delay = std::chrono::milliseconds(50)}}});
  auto command = Command();
  *(std::find(command.begin(), command.end(), "--output-dir") + 1) = odd;
  ChildProcess sender(command);
  ASSERT_TRUE(destination_.WaitFor([](const auto& log) { return Stored(log) >= 2; }, kRunTimeout));
  sender.Signal(SIGINT);
  EXPECT_EQ(WaitForEnd(sender), 4) << result_.output << result_.errors;
  EXPECT_EQ(RunInShell(PrintedResumeCommand()), 0) << result_.output << result_.errors;
  EXPECT_EQ(Stored(destination_.Log()), 10U);
}

TEST_F(InterruptTest, CtrlCDuringTheScanEndsIt) {
  WriteExampleStudies(data(), 40, 100);
  StartDestination({.rules = {InstanceRule{.delay = std::chrono::milliseconds(20)}}});
  ChildProcess sender(Command({"--scan-threads", "1"}));
  ASSERT_TRUE(sender.WaitForText("Indexing", kRunTimeout)) << sender.Output() << sender.Errors();
  sender.Signal(SIGINT);
  EXPECT_EQ(WaitForEnd(sender), 4) << result_.output << result_.errors;
  EXPECT_TRUE(Summary()["interrupted"].IsTrue());
  destination_.SetBehaviour({});
  EXPECT_EQ(RunInShell(PrintedResumeCommand()), 0) << result_.output << result_.errors;
  ExpectCompletedExactlyOnce(4000);
}

TEST_F(InterruptTest, ASecondSignalAbortsEvenIfTheDestinationStalls) {
  WriteExampleStudies(data(), 1, 5);
  StartDestination({.rules = {InstanceRule{.nth = 3, .action = InstanceAction::kStall}}});
  ChildProcess sender(Command());
  ASSERT_TRUE(destination_.WaitFor([](const auto& log) { return log.instances.size() == 3; }, kRunTimeout));
  sender.Signal(SIGINT);
  ASSERT_TRUE(WaitUntilTaken(sender, SIGINT));
  EXPECT_FALSE(sender.Wait(std::chrono::milliseconds(0))) << "the first one waits for the instance in flight";
  sender.Signal(SIGINT);
  EXPECT_EQ(WaitForEnd(sender, kAtOnce), 4) << result_.output << result_.errors;

  destination_.SetBehaviour({});
  EXPECT_EQ(Resume(), 0) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  EXPECT_EQ(Number(summary, "successful_transfers"), 5U);
  EXPECT_EQ(StoredTimes(destination_.Log()).size(), 5U);
}

TEST_F(InterruptTest, CtrlCEndsTheWaitForAnUnreachableDestination) {
  WriteExampleStudies(data(), 1, 5);
  StartDestination();
  destination_.Stop();
  ChildProcess sender(Command({"--retry-for", "1h"}));
  ASSERT_TRUE(sender.WaitForText("refused", kRunTimeout)) << sender.Output() << sender.Errors();
  sender.Signal(SIGINT);
  EXPECT_EQ(WaitForEnd(sender, kAtOnce), 4) << result_.output << result_.errors;
  const auto summary = Summary();
  EXPECT_EQ(Number(summary, "pending"), 5U);
  ExpectCountsAddUp(summary, 5);
}

// The resolver alone would wait 150 s.
TEST_F(InterruptTest, CtrlCEndsTheWaitForASilentNameServer) {
  WriteExampleStudies(data(), 1, 5);
  StartDestination();
  const std::vector<std::string> echo = {DICOM_SENDER_PROGRAM, "--echo", "-a", "ARCHIVE", "-H",
                                         "archive.example",    "-p",     "104"};
  auto send = Command({"--connect-timeout", "3s"});
  *(std::find(send.begin(), send.end(), "-H") + 1) = "archive.example";
  bool permitted = false;
  std::thread([&] {
    for (const auto& command : {echo, send}) {
      const auto server = SilentNameServer::Start(folder_.path());
      permitted = server.has_value();
      if (!permitted) return;
      ChildProcess sender(command);
      EXPECT_TRUE(server->WaitForQuestion(kRunTimeout));
      sender.Signal(SIGINT);
      EXPECT_EQ(WaitForEnd(sender, kAtOnce), 4) << result_.output << result_.errors;
    }
  }).join();
  if (!permitted) GTEST_SKIP() << "no permission to create a network and a mount namespace";
  ExpectCountsAddUp(Summary(), 5);
}

}  // namespace
}  // namespace dicom_sender
