// Kills the program at many moments, or lets it end early, and continues with --resume: everything arrives, nothing
// is reported stored that did not arrive, and each resend is counted.
#include <csignal>
#include <functional>
#include <set>

#include "tests/e2e/ledger_reader.h"
#include "tests/e2e/sender_fixture.h"

namespace dicom_sender {
namespace {

using Moment = std::function<bool(const DestinationLog&)>;

class ResumeTest : public SenderTest {
 protected:
  // Starts the program, first with data() and then with --resume, and kills it at the given moment.
  void RunAndKill(const Moment& moment, const std::vector<std::string>& options = {}) {
    ChildProcess sender(NextCommand(options));
    ASSERT_TRUE(destination_.WaitFor(moment, kRunTimeout)) << sender.Output() << sender.Errors();
    Kill(sender);
  }
  void RunAndKillAtText(const std::string& text, const std::vector<std::string>& options = {}) {
    ChildProcess sender(NextCommand(options));
    ASSERT_TRUE(sender.WaitForText(text, kRunTimeout)) << sender.Output() << sender.Errors();
    Kill(sender);
  }
  // Waits until this many further instances were answered with success.
  Moment StoredFurther(std::uint64_t count) const {
    return [expected = Stored(destination_.Log()) + count](const auto& log) { return Stored(log) >= expected; };
  }

  // Runs until the end and compares all records with each other.
  void FinishAndCheck(const std::vector<ExampleInstance>& instances, int kills) {
    EXPECT_EQ(kills_, kills);
    EXPECT_EQ(RunCommand(NextCommand({})), 0) << result_.output << result_.errors;
    ExpectNothingAcknowledgedWasSentAgain();
    const auto times = StoredTimes(destination_.Log());
    std::uint64_t sent_again = 0;
    for (const ExampleInstance& instance : instances) {
      ASSERT_TRUE(times.contains(instance.sop_instance_uid)) << instance.sop_instance_uid << " never arrived";
      sent_again += times.at(instance.sop_instance_uid) > 1;
    }
    EXPECT_EQ(times.size(), instances.size());
    const auto summary = Summary();
    ExpectCountsAddUp(summary);
    EXPECT_EQ(Number(summary, "total_files"), instances.size());
    EXPECT_EQ(Number(summary, "successful_transfers"), instances.size());
    EXPECT_EQ(Number(summary, "pending"), 0U);
    EXPECT_GE(Number(summary, "resends"), sent_again);
  }

 private:
  std::vector<std::string> NextCommand(const std::vector<std::string>& options) const {
    return kills_ == 0 ? Command(options) : ResumeCommand(Session(), options);
  }

  void Kill(ChildProcess& sender) {
    sender.Signal(SIGKILL);
    ASSERT_EQ(sender.Wait(kRunTimeout), (ProcessEnd{-1, SIGKILL})) << sender.Output() << sender.Errors();
    ++kills_;
    destination_.Stop();  // also ends data that the kernel has not delivered yet
    ExpectNothingAcknowledgedWasSentAgain();
    const auto stored_times = StoredTimes(destination_.Log());
    const auto ledger = out() / ("dicom_sender_" + Session() + ".db");
    const auto acknowledged = StoredInLedger(ledger, Session(), folder_ / "ledger");
    ASSERT_TRUE(acknowledged) << "the session is lost";
    acknowledged_ = *acknowledged;
    for (const std::string& uid : acknowledged_) {
      EXPECT_TRUE(stored_times.contains(uid))
          << uid << " is reported stored although the destination never stored it";
    }
    received_ = destination_.Log().instances.size();
    ASSERT_TRUE(destination_.Start());
  }

  void ExpectNothingAcknowledgedWasSentAgain() const {
    const auto log = destination_.Log();
    for (std::size_t i = received_; i < log.instances.size(); ++i) {
      EXPECT_FALSE(acknowledged_.contains(log.instances[i].sop_instance)) << log.instances[i].sop_instance;
    }
  }

  int kills_ = 0;
  std::size_t received_ = 0;            // number of received instances when the current run was started
  std::set<std::string> acknowledged_;  // the ones that the ledger reported stored at that time
};

// Aims at the time between a response and its commit to the ledger, repeatedly.
TEST_F(ResumeTest, KilledAfterEveryFewInstances) {
  const auto instances = WriteExampleStudies(data(), 2, 20);
  StartDestination({.rules = {InstanceRule{.delay = std::chrono::milliseconds(2)}}});
  int kills = 0;
  while (StoredTimes(destination_.Log()).size() + 8 < instances.size()) {
    ASSERT_LT(kills, 30) << "it makes no progress";
    // Waits for a few more instances each time: with a slow ledger, a fixed small number would never reach a commit.
    ASSERT_NO_FATAL_FAILURE(RunAndKill(StoredFurther(4 + static_cast<std::uint64_t>(kills) / 4)));
    ++kills;
  }
  EXPECT_GE(kills, 4);
  FinishAndCheck(instances, kills);
}

TEST_F(ResumeTest, KilledWithSeveralAssociationsOpen) {
  const auto instances = WriteExampleStudies(data(), 6, 12);
  StartDestination({.rules = {InstanceRule{.delay = std::chrono::milliseconds(15)}}});
  for (int i = 0; i < 5; ++i) ASSERT_NO_FATAL_FAILURE(RunAndKill(StoredFurther(8), {"-t", "4"}));
  FinishAndCheck(instances, 5);
}

TEST_F(ResumeTest, KilledWhileWaitingForTheResponse) {
  const auto instances = WriteExampleStudies(data(), 1, 12);
  StartDestination({.rules = {InstanceRule{.nth_of_association = 3, .action = InstanceAction::kStall}}});
  const auto stalled = [this] {
    const auto unanswered = [](const DestinationLog& log) { return log.instances.size() - Stored(log); };
    return
        [unanswered, before = unanswered(destination_.Log())](const auto& log) { return unanswered(log) > before; };
  };
  for (int i = 0; i < 4; ++i) ASSERT_NO_FATAL_FAILURE(RunAndKill(stalled()));
  destination_.SetBehaviour({});
  FinishAndCheck(instances, 4);
}

// More data than the kernel buffers, so that the kill interrupts a write.
TEST_F(ResumeTest, KilledDuringADataset) {
  const auto instances = WriteExampleStudies(data(), 1, 8, 8'000'000);
  StartDestination({.receive_buffer_bytes = 65536,
                    .rules = {InstanceRule{.nth_of_association = 2, .action = InstanceAction::kStallReceiving}}});
  const Moment stalled = [](const DestinationLog& log) {
    return std::any_of(log.associations.begin(), log.associations.end(), [](const AssociationRecord& association) {
      return association.end == AssociationEnd::kOpen && association.instances == 2;
    });
  };
  for (int i = 0; i < 3; ++i) ASSERT_NO_FATAL_FAILURE(RunAndKill(stalled));
  destination_.SetBehaviour({});
  FinishAndCheck(instances, 3);
}

TEST_F(ResumeTest, KilledDuringTheScan) {
  const auto instances = WriteExampleStudies(data(), 50, 100);
  StartDestination();
  ASSERT_NO_FATAL_FAILURE(RunAndKillAtText("Indexing", {"--scan-threads", "1"}));
  for (int i = 0; i < 3; ++i) ASSERT_NO_FATAL_FAILURE(RunAndKillAtText("(resumed)", {"--scan-threads", "1"}));
  FinishAndCheck(instances, 4);
}

TEST_F(ResumeTest, KilledWhileScanningAndSendingAtTheSameTime) {
  const auto instances = WriteExampleStudies(data(), 20, 50);
  StartDestination({.rules = {InstanceRule{.delay = std::chrono::milliseconds(1)}}});
  ASSERT_NO_FATAL_FAILURE(RunAndKill(StoredFurther(1), {"--dispatch", "as-found", "--scan-threads", "1"}));
  ASSERT_NO_FATAL_FAILURE(RunAndKill(StoredFurther(100)));
  ASSERT_NO_FATAL_FAILURE(RunAndKill(StoredFurther(100)));
  FinishAndCheck(instances, 3);
}

TEST_F(ResumeTest, KilledWhileTheAssociationIsNegotiated) {
  const auto instances = WriteExampleStudies(data(), 2, 5);
  StartDestination({.stall_association = true});
  for (std::size_t i = 1; i <= 2; ++i) {
    ASSERT_NO_FATAL_FAILURE(RunAndKill([i](const auto& log) { return log.associations.size() >= i; }));
  }
  destination_.SetBehaviour({});
  FinishAndCheck(instances, 2);
}

TEST_F(ResumeTest, AfterTheDestinationWasDown) {
  WriteExampleStudies(data(), 2, 3);
  StartDestination();
  destination_.Stop();
  ASSERT_EQ(Run({"--retry-for", "1"}), 3) << result_.output << result_.errors;
  EXPECT_EQ(Number(Summary(), "failed_transfers"), 0U);
  EXPECT_EQ(Number(Summary(), "pending"), 6U);
  EXPECT_FALSE(std::string(Summary()["end_reason"].GetString()).empty());
  EXPECT_TRUE(Files("_failures.ndjson").empty());
  ASSERT_TRUE(destination_.Start());
  EXPECT_EQ(Resume(), 0) << result_.output << result_.errors;
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  EXPECT_EQ(Number(summary, "successful_transfers"), 6U);
  EXPECT_EQ(Number(summary, "failed_transfers"), 0U);
  EXPECT_EQ(Number(summary, "resends"), 0U);
  EXPECT_EQ(Stored(destination_.Log()), 6U);
}

// An instance that the archive has no space for, in a session that is ended and resumed repeatedly.
class AttemptsTest : public ResumeTest {
 protected:
  using EndRun = std::function<void(ChildProcess&)>;

  void SetUp() override {
    const auto instances = WriteExampleStudies(data(), 1, 3);
    refused_.sop_instance_uid = instances.back().sop_instance_uid;  // all earlier instances are stored by then
    refused_.status = 0xA700;
    StartDestination({.rules = {refused_}});
  }

  std::uint64_t Sent(const DestinationLog& log) const {
    return static_cast<std::uint64_t>(
        std::ranges::count(log.instances, refused_.sop_instance_uid, &InstanceRecord::sop_instance));
  }
  // Ends each run when it has sent the instance once more, until a run exits with status 1 because the instance has
  // failed.
  void ResumeUntilItHasFailed(const std::vector<std::string>& options, int exit_status, const EndRun& end) {
    for (int run = 0; run < 8; ++run) {
      const std::uint64_t before = Sent(destination_.Log());
      ChildProcess sender(run == 0 ? Command(options) : ResumeCommand(Session(), options));
      ASSERT_TRUE(destination_.WaitFor([&](const auto& log) { return Sent(log) > before; }, kRunTimeout))
          << sender.Output() << sender.Errors();
      end(sender);
      const auto ended = sender.Wait(kRunTimeout);
      ASSERT_TRUE(ended);
      if (ended->exit_status == 1) return;
      ASSERT_EQ(ended->exit_status, exit_status) << sender.Output() << sender.Errors();
      EXPECT_EQ(Number(Summary(), "failed_transfers"), 0U);
      EXPECT_EQ(Number(Summary(), "pending"), 1U);
      destination_.Stop();
      ASSERT_TRUE(destination_.Start());
    }
    ADD_FAILURE() << "it is retried without end";
  }
  void ExpectFailedAfter(std::uint64_t attempts) {
    EXPECT_EQ(Sent(destination_.Log()), attempts);
    const auto summary = Summary();
    ExpectCountsAddUp(summary);
    ASSERT_EQ(Number(summary, "failed_transfers"), 1U);
    EXPECT_EQ(Number(summary["failures"][0], "attempts"), attempts);
    EXPECT_STREQ(summary["failures"][0]["worker"].GetString(), "dicom-sender");
  }

  InstanceRule refused_;
};

TEST_F(AttemptsTest, AreCountedOverAllRunsThatTheDestinationEnded) {
  ASSERT_NO_FATAL_FAILURE(ResumeUntilItHasFailed({"--max-attempts", "2", "--retry-for", "1", "--async-window", "1"},
                                                 3, [this](ChildProcess&) { destination_.Stop(); }));
  ExpectFailedAfter(2);
}

TEST_F(AttemptsTest, AreCountedOverAllRunsThatWereInterrupted) {
  ASSERT_NO_FATAL_FAILURE(
      ResumeUntilItHasFailed({"--max-attempts", "3"}, 4, [](ChildProcess& sender) { sender.Signal(SIGINT); }));
  ExpectFailedAfter(3);
}

TEST_F(AttemptsTest, AreResetOnRequest) {
  ASSERT_EQ(Run({"--max-attempts", "1"}), 1) << result_.output << result_.errors;
  EXPECT_EQ(Resume({"--max-attempts", "1"}), 1) << result_.output << result_.errors;
  ExpectFailedAfter(1);
  EXPECT_EQ(Resume({"--max-attempts", "1", "--retry-failed"}), 1) << result_.output << result_.errors;
  EXPECT_EQ(Sent(destination_.Log()), 2U);
  EXPECT_EQ(Number(Summary()["failures"][0], "attempts"), 1U);
}

TEST_F(ResumeTest, FailedInstancesAreRetriedOnlyOnRequest) {
  const auto instances = WriteExampleStudies(data(), 1, 4);
  ExampleInstance broken;
  broken.sop_instance_uid += ".99";
  const std::string whole = ExampleFile(broken);
  WriteFile(data() / "broken.dcm", whole.substr(0, whole.size() - 10));
  InstanceRule rule;
  rule.sop_instance_uid = instances[1].sop_instance_uid;
  rule.status = 0xA900;
  StartDestination({.rules = {rule}});
  ASSERT_EQ(Run(), 1) << result_.output << result_.errors;
  destination_.SetBehaviour({});
  EXPECT_EQ(Resume(), 1) << result_.output << result_.errors;
  EXPECT_EQ(destination_.Log().instances.size(), 4U) << "nothing was sent again";
  EXPECT_EQ(Number(Summary(), "failed_transfers"), 2U);
  EXPECT_EQ(Resume({"--retry-failed"}), 1) << "a broken file stays broken";
  EXPECT_EQ(destination_.Log().instances.size(), 5U) << "only what failed at the destination";
  EXPECT_EQ(destination_.Log().instances.back().sop_instance, instances[1].sop_instance_uid);
  const auto summary = Summary();
  ExpectCountsAddUp(summary);
  EXPECT_EQ(Number(summary, "successful_transfers"), 4U);
  EXPECT_EQ(Number(summary, "failed_transfers"), 1U);
}

TEST_F(ResumeTest, ACompleteSessionWithoutALedgerCannotBeResumed) {
  WriteExampleStudies(data(), 1, 2);
  StartDestination();
  ASSERT_EQ(Run({"--delete-ledger"}), 0) << result_.output << result_.errors;
  const std::string session = Session();
  EXPECT_EQ(Resume(), 2);
  EXPECT_EQ(std::count(result_.errors.begin(), result_.errors.end(), '\n'), 1) << result_.errors;
  EXPECT_NE(result_.errors.find(session), std::string::npos) << result_.errors;
  EXPECT_EQ(destination_.Log().associations.size(), 1U);
  EXPECT_EQ(Number(Summary(), "successful_transfers"), 2U) << "its summary stays";
}

TEST_F(ResumeTest, ACompleteSessionSendsNothing) {
  WriteExampleStudies(data(), 1, 2);
  StartDestination();
  ASSERT_EQ(Run({"--keep-ledger"}), 0) << result_.output << result_.errors;
  ASSERT_EQ(Files(".db").size(), 1U);
  EXPECT_EQ(Resume(), 0) << result_.output << result_.errors;
  EXPECT_EQ(destination_.Log().instances.size(), 2U);
  EXPECT_EQ(Number(Summary(), "successful_transfers"), 2U);
}

TEST_F(ResumeTest, ARunningSessionIsNotResumed) {
  WriteExampleStudies(data(), 1, 3);
  StartDestination({.rules = {InstanceRule{.nth = 2, .action = InstanceAction::kStall}}});
  ChildProcess first(Command());
  ASSERT_TRUE(destination_.WaitFor([](const auto& log) { return log.instances.size() == 2; }, kRunTimeout));
  EXPECT_EQ(Resume(), 2) << result_.output;
  EXPECT_EQ(std::count(result_.errors.begin(), result_.errors.end(), '\n'), 1) << result_.errors;
  EXPECT_NE(result_.errors.find(Session()), std::string::npos) << result_.errors;
  EXPECT_EQ(destination_.Log().associations.size(), 1U);

  destination_.Stop();  // the first session continues over another association
  ASSERT_TRUE(destination_.Start());
  const auto end = first.Wait(kRunTimeout);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->exit_status, 0) << first.Output() << first.Errors();
  EXPECT_EQ(Number(Summary(), "successful_transfers"), 3U);
}

}  // namespace
}  // namespace dicom_sender
