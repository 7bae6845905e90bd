// Workers and coordinators that stop, crash, lose their connection, and return while a study is being sent.
#include <fstream>

#include "tests/e2e/migration_fixture.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;

DestinationBehaviour Slow(int milliseconds_each) {
  return {.rules = {InstanceRule{.delay = milliseconds(milliseconds_each)}}};
}

class DistributedFailuresTest : public MigrationTest {
 protected:
  // Starts a session with one study of `instances` instances, and waits until w0 has sent a few of them.
  Program& BeginWithOneWorker(int instances, DestinationBehaviour behaviour, const Words& worker_options = {}) {
    instances_ = WriteExampleStudies(data(), 1, instances);
    StartDestination(std::move(behaviour));
    StartCoordinator();
    Program& worker = StartWorker("w0", worker_options);
    session_ = Feed();
    EXPECT_TRUE(WaitUntilStored(2));
    return worker;
  }
  std::uint64_t Resends() const { return Number(SummaryAtEnd(session_), "resends"); }
  // Returns the time between the end of the first association and the beginning of the second one at the destination.
  milliseconds Gap() const {
    const DestinationLog log = destination_.Log();
    if (log.associations.size() != 2) {
      ADD_FAILURE() << log.associations.size() << " associations";
      return milliseconds(0);
    }
    return std::chrono::duration_cast<milliseconds>(log.associations[1].started - log.associations[0].ended);
  }
  bool WaitUntilListed(const std::string& worker) const {
    return Eventually([&] { return Ctl({"workers"}).output.find(worker) != std::string::npos; });
  }

  // Shifts the program's wall clock by the seconds in the file "shift".
  Words WithShiftedClock(const Words& command) const {
    Words words = {"env", std::string("LD_PRELOAD=") + SHIFTED_CLOCK,
                   "SHIFTED_CLOCK=" + (folder_ / "shift").string()};
    words.insert(words.end(), command.begin(), command.end());
    return words;
  }
  static std::string AllLogs(const std::filesystem::path& folder) {
    std::string all;
    if (!std::filesystem::exists(folder)) return all;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().extension() == ".log") all += ReadFile(entry.path());
    }
    return all;
  }

  std::vector<ExampleInstance> instances_;
  std::string session_;
};

TEST_F(DistributedFailuresTest, SigtermDrainsAWorkerAndAnotherOneFinishesItsStudy) {
  Program& worker = BeginWithOneWorker(40, Slow(20));
  EXPECT_EQ(worker.Stop(), 0);
  EXPECT_THAT(worker.Errors(), testing::HasSubstr("Worker w0 has drained"));
  const std::uint64_t before = Stored(destination_.Log());
  EXPECT_LT(before, instances_.size());
  StartWorker("w1");
  EXPECT_EQ(ExpectAllStored(session_, instances_), 0U);
  EXPECT_EQ(Resends(), 0U);
  const DestinationLog log = destination_.Log();
  ASSERT_EQ(log.associations.size(), 2U);
  EXPECT_EQ(log.associations[0].end, AssociationEnd::kReleased);
}

TEST_F(DistributedFailuresTest, TheGracePeriodBoundsTheWaitForAHangingDestination) {
  InstanceRule hang;
  hang.nth = 4;
  hang.action = InstanceAction::kStall;
  Program& worker = BeginWithOneWorker(10, {.rules = {hang}}, {"--grace-period", "1"});
  ASSERT_TRUE(destination_.WaitFor([](const auto& log) { return log.instances.size() == 4; }, kPatience));
  EXPECT_EQ(worker.Stop(), 4);
  EXPECT_THAT(worker.Errors(), testing::HasSubstr("The grace period of 1 s is over"));
  StartWorker("w1");
  ExpectAllStored(session_, instances_);
  EXPECT_GE(Resends(), 1U) << "the one that hung may have been stored";
}

TEST_F(DistributedFailuresTest, ASecondSignalAbortsAWorkerAtOnce) {
  InstanceRule hang;
  hang.nth = 4;
  hang.action = InstanceAction::kStall;
  Program& worker = BeginWithOneWorker(10, {.rules = {hang}}, {"--grace-period", "1h"});
  ASSERT_TRUE(destination_.WaitFor([](const auto& log) { return log.instances.size() == 4; }, kPatience));
  worker.Signal(SIGTERM);
  // Waits until the coordinator has seen the first signal, so that the two signals are not merged.
  ASSERT_TRUE(Eventually([this] { return Ctl({"workers"}).output.find("draining") != std::string::npos; }));
  EXPECT_FALSE(worker.EndsWithin(milliseconds(0))) << "the first one waits for the instance in flight";
  worker.Signal(SIGTERM);
  EXPECT_EQ(worker.Wait(), 4);
  worker.Start();  // has the same name, so the leases of its earlier life are released at once
  ExpectAllStored(session_, instances_);
}

TEST_F(DistributedFailuresTest, TheStudyOfAKilledWorkerIsReassignedWhenItsLeaseExpires) {
  Program& worker = BeginWithOneWorker(30, Slow(30));
  StartWorker("w1");
  ASSERT_TRUE(WaitUntilListed("w1"));
  worker.Kill();
  ExpectAllStored(session_, instances_);
  // The lease of 5 s was renewed within the last third of that.
  EXPECT_GE(Gap(), milliseconds(3000));
  EXPECT_LE(Gap(), milliseconds(12'000));
  EXPECT_LE(Resends(), instances_.size());
}

TEST_F(DistributedFailuresTest, ARestartedWorkerContinuesAtOnce) {
  Program& worker = BeginWithOneWorker(30, Slow(30));
  worker.Kill();
  worker.Start();
  ExpectAllStored(session_, instances_);
  EXPECT_LE(Gap(), milliseconds(3000)) << "the leases of its earlier life are over";
}

TEST_F(DistributedFailuresTest, APausedWorkerGivesUpAnExpiredLease) {
  Program& worker = BeginWithOneWorker(60, Slow(30));
  StartWorker("w1");
  worker.Signal(SIGSTOP);
  ASSERT_TRUE(destination_.WaitFor([](const auto& log) { return log.associations.size() == 2; }, kPatience));
  worker.Signal(SIGCONT);
  ASSERT_TRUE(worker.WaitForText("is lost: its study stops")) << worker.Errors();
  const std::uint64_t again = ExpectAllStored(session_, instances_);
  EXPECT_LE(again, 3U) << "the one that was in flight, and what was not reported";
  EXPECT_EQ(worker.Stop(), 0);
}

TEST_F(DistributedFailuresTest, ADisconnectedWorkerStopsByItsOwnClock) {
  // The number of instances as given, slow enough to take longer than the lease time.
  instances_ = WriteExampleStudies(data(), 1, 120);
  StartDestination(Slow(50));
  StartCoordinator();
  const ReservedPort port;
  TcpProxy proxy(port.number(), coordinator_port_.number());
  Program& cut_off = StartWorker("w0", {"--coordinator", "tcp://127.0.0.1:" + std::to_string(port.number())});
  session_ = Feed();
  ASSERT_TRUE(WaitUntilStored(1));
  proxy.Block();
  StartWorker("w1");
  ASSERT_TRUE(destination_.WaitFor([](const auto& log) { return log.associations.size() == 2; }, kPatience));
  EXPECT_TRUE(cut_off.WaitForText("is lost: its study stops")) << cut_off.Errors();
  destination_.SetBehaviour({});
  proxy.Unblock();
  ExpectAllStored(session_, instances_);
  EXPECT_GE(Resends(), 1U) << "the coordinator did not know what it had sent";
  const DestinationLog log = destination_.Log();
  for (const auto& instance : log.instances) {
    EXPECT_TRUE(instance.association == 2 || instance.received < log.associations[1].started);
  }
}

TEST_F(DistributedFailuresTest, WorkersKeepSendingWhileTheCoordinatorRestarts) {
  const auto instances = WriteExampleStudies(data(), 2, 40);
  StartDestination(Slow(30));
  Program& coordinator = StartCoordinator();
  std::vector<Program*> workers = {&StartWorker("w0"), &StartWorker("w1")};
  const std::string session = Feed();
  ASSERT_TRUE(WaitUntilStored(6));
  coordinator.Kill();
  ASSERT_TRUE(WaitUntilStored(Stored(destination_.Log()) + 10)) << "workers continue without the coordinator";
  StartAndListen(coordinator);
  const auto summary = SummaryAtEnd(session);
  for (Program* worker : workers) EXPECT_EQ(worker->Stop(), 0);
  EXPECT_EQ(ExpectAllStored(session, instances), 0U);
  EXPECT_EQ(Number(summary, "resends"), 0U);
  EXPECT_EQ(Number(summary, "associations"), 2U);
  EXPECT_EQ(destination_.Log().associations.size(), 2U);
}

TEST_F(DistributedFailuresTest, ASecondWorkerOfTheSameNameReplacesTheFirst) {
  const auto instances = WriteExampleStudies(data(), 1, 5);
  StartDestination();
  StartCoordinator();
  Program& first = StartWorker("w0");
  ASSERT_TRUE(WaitUntilListed("w0"));
  Program& second = StartWorker("w0");
  EXPECT_EQ(first.Wait(), 3);
  EXPECT_THAT(first.Errors(), testing::HasSubstr("another worker named 'w0' has started since, or "));
  EXPECT_THAT(first.Errors(), testing::HasSubstr("give each worker its own --worker-id"));
  ExpectAllStored(Feed(), instances);
  EXPECT_FALSE(second.EndsWithin(milliseconds(0)));
}

TEST_F(DistributedFailuresTest, AFailedSummaryIsWrittenWhenItsFolderReturns) {
  const auto instances = WriteExampleStudies(data(), 1, 5);
  StartDestination();
  Program& coordinator = StartCoordinator();
  std::filesystem::remove(out());
  StartWorker("w0");
  const std::string session = Feed();
  ASSERT_TRUE(coordinator.WaitForText("the summary of session " + session + " was not written: "));
  std::filesystem::create_directory(out());
  EXPECT_EQ(Number(SummaryAtEnd(session), "successful_transfers"), 5U);
  EXPECT_TRUE(coordinator.WaitForText("The summary of session " + session + " was written on a retry"));
  ExpectAllStored(session, instances);
}

TEST_F(DistributedFailuresTest, ARenamedLedgerStopsTheCoordinator) {
  BeginWithOneWorker(40, Slow(100));
  Program& coordinator = *coordinator_;
  const auto elsewhere = folder_ / "elsewhere.db";
  std::filesystem::rename(ledger(), elsewhere);
  EXPECT_EQ(coordinator.Wait(std::chrono::seconds(10)), 74);
  const std::string said = "ledger '" + ledger().string() +
                           "': it was removed or renamed while in use; put it or a "
                           "backup of it back, and start again";
  EXPECT_THAT(coordinator.Errors(), testing::HasSubstr(said));
  std::filesystem::rename(elsewhere, ledger());
  StartAndListen(coordinator);
  ExpectAllStored(session_, instances_);
}

TEST_F(DistributedFailuresTest, AClockSetBackIsReported) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers do not allow preloaded libraries";
#endif
  std::ofstream(folder_ / "shift") << "0";
  const auto shifted = [this](Program& program) -> Program& {
    return Add("shifted " + program.name(), WithShiftedClock(program.command()));
  };
  instances_ = WriteExampleStudies(data(), 1, 5);
  StartDestination();
  Program& coordinator = shifted(Coordinator());
  StartAndListen(coordinator);
  Program& worker = shifted(Worker("w0"));
  worker.Start();
  ASSERT_TRUE(WaitUntilListed("w0"));
  Program& sender =
      Add("dicom-sender", WithShiftedClock({DICOM_SENDER_PROGRAM, "-i", data(), "-r", "-a", "SLOW", "-H", "127.0.0.1",
                                            "-p", "1", "--output-dir", folder_ / "sender"}));
  sender.Start();
  ASSERT_TRUE(sender.WaitForText("Session")) << sender.Errors();
  std::ofstream(folder_ / "shift") << "-3600";
  for (Program* program : {&coordinator, &worker}) {
    EXPECT_TRUE(program->WaitForText("This machine's clock was set back by 3600.")) << program->Errors();
  }
  EXPECT_TRUE(Eventually([&] {
    return AllLogs(folder_ / "sender").find("This machine's clock was set back by 3600.") != std::string::npos;
  }));
  worker.Kill();
  worker.Start();  // has an older start time than its earlier life
  EXPECT_EQ(worker.Wait(), 3);
  EXPECT_THAT(worker.Errors(), testing::HasSubstr("this one's clock was set back by at least 3"));
  sender.Kill();
}

TEST_F(DistributedFailuresTest, AFailedSummaryIsWrittenAtTheNextStart) {
  const auto instances = WriteExampleStudies(data(), 1, 5);
  StartDestination();
  Program& coordinator = StartCoordinator();
  std::filesystem::remove(out());
  StartWorker("w0");
  const std::string session = Feed();
  ASSERT_TRUE(coordinator.WaitForText("the summary of session " + session + " was not written: "));
  EXPECT_EQ(Ctl({"summary", session, "--format", "json"}).end, (ProcessEnd{1, 0}));
  coordinator.Kill();
  StartAndListen(coordinator);
  EXPECT_EQ(Number(CtlJson({"summary", session}), "successful_transfers"), 5U);
  ExpectAllStored(session, instances);
}

TEST_F(DistributedFailuresTest, ASummaryIsWrittenAfterTheCoordinatorWasKilledBeforeItWroteIt) {
  const auto instances = WriteExampleStudies(data(), 1, 5);
  StartDestination();
  Program& coordinator = StartCoordinator();
  StartWorker("w0");
  const std::string session = Feed();
  const auto before = SummaryAtEnd(session);
  coordinator.Kill();
  std::filesystem::remove(SummaryFile(session));
  StartAndListen(coordinator);
  EXPECT_TRUE(before == SummaryAtEnd(session)) << "another end of the same session";
  ExpectAllStored(session, instances);
}

// The coordinator must not accept a report that is meant for another ledger: nothing would have been stored there.
TEST_F(DistributedFailuresTest, ReportsForAnotherLedgerAreRefused) {
  Program& stranger = BeginWithOneWorker(20, Slow(300));
  stranger.Signal(SIGSTOP);
  coordinator_->Kill();
  for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(ledger().string() + end);
  StartAndListen(*coordinator_);

  TestDestination silent({}, {.rules = {InstanceRule{.action = InstanceAction::kStall}}});
  ASSERT_TRUE(silent.Start());
  StartWorker("w1");
  const std::string port = std::to_string(silent.port());
  Program& indexer = Indexer({"-i", data(), "-r", "-a", "SILENT", "-H", "127.0.0.1", "-p", port});
  indexer.Start();
  const std::string session = SessionOf(indexer);
  ASSERT_TRUE(Eventually([&] { return silent.Log().associations.size() == 1; })) << "w1 holds the first lease";
  stranger.Signal(SIGCONT);
  ASSERT_TRUE(stranger.WaitForText("which is not in this ledger")) << stranger.Errors();
  EXPECT_EQ(CtlJson({"show", session})["status"]["stored"].GetUint64(), 0U);
  EXPECT_EQ(Ctl({"drain", "w0"}).end, (ProcessEnd{0, 0}));
  EXPECT_EQ(stranger.Wait(), 3) << "it does not wait for ever for its report to be taken";
}

}  // namespace
}  // namespace dicom_sender
