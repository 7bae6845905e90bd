// One faulty worker beside a good one: it must not fail any instance, and it is named.
#include "tests/e2e/migration_fixture.h"

namespace dicom_sender {
namespace {

class DistributedAttributionTest : public MigrationTest {
 protected:
  void SetUp() override {
    instances_ = WriteExampleStudies(data(), 40, 5);
    InstanceRule slow;
    slow.delay = std::chrono::milliseconds(5);
    StartDestination({.rules = {slow}});
    StartCoordinator({"--metrics", "127.0.0.1:" + std::to_string(metrics_port_.number())});
  }
  std::filesystem::path replica() const { return folder_ / "replica"; }
  Program& StartWorkerOfTheReplica(const Words& more = {}) {
    Words words = {"-t", "4", "--path-map", data().string() + "=" + replica().string()};
    words.insert(words.end(), more.begin(), more.end());
    return StartWorker("bad", words);
  }
  bool IsQuarantined() const {
    return Eventually([this] { return Metric(metrics_port_.number(), "dicom_sender_workers_quarantined") == 1; });
  }
  // Everything arrives, nothing has failed, and the faulty worker is named.
  void ExpectTheGoodOneSendsAll(const std::string& session) {
    EXPECT_TRUE(IsQuarantined());
    const std::string workers = Ctl({"workers"}).output;
    EXPECT_THAT(workers, testing::ContainsRegex("bad +quarantined"));
    EXPECT_THAT(workers, testing::HasSubstr("the files of session " + session));
    StartWorker("good", {"-t", "2"});
    ExpectAllStored(session, instances_);
    EXPECT_THAT(coordinator_->AllErrors(), testing::HasSubstr("Worker bad is quarantined"));
    EXPECT_EQ(Number(SummaryAtEnd(session), "failed_transfers"), 0U);
  }

  ReservedPort metrics_port_;
  std::vector<ExampleInstance> instances_;
};

TEST_F(DistributedAttributionTest, AWorkerWithoutItsMountGetsNoStudies) {
  std::filesystem::create_directories(replica());  // a mount point without a mounted file system
  ReservedPort port;
  Program& bad = StartWorkerOfTheReplica({"--metrics", "127.0.0.1:" + std::to_string(port.number())});
  EXPECT_TRUE(bad.WaitForText("Not ready: the folder"));
  EXPECT_TRUE(Eventually([&] { return Status(port.number(), "/readyz") == 503; }));
  EXPECT_THAT(Get(port.number(), "/readyz"), testing::HasSubstr("is its storage mounted?"));
  EXPECT_TRUE(Eventually([this] { return Ctl({"workers"}).output.find("not ready") != std::string::npos; }));
  const std::string session = Feed();
  StartWorker("good");
  ExpectAllStored(session, instances_);
  EXPECT_THAT(bad.AllErrors(), testing::Not(testing::HasSubstr("starting with study")));
}

TEST_F(DistributedAttributionTest, AWorkerBecomesReadyWhenItsMountReturns) {
  std::filesystem::create_directories(replica());
  Program& worker = StartWorkerOfTheReplica();
  EXPECT_TRUE(worker.WaitForText("Not ready: the folder"));
  const std::string session = Feed();
  std::filesystem::remove(replica());
  std::filesystem::create_directory_symlink(data(), replica());
  EXPECT_TRUE(worker.WaitForText("Ready again"));
  ExpectAllStored(session, instances_);
}

TEST_F(DistributedAttributionTest, AMissingMappedFolderIsAnErrorAtStartup) {
  const ProcessResult result =
      RunProcess({WORKER_PROGRAM, "--coordinator", endpoint(), "--path-map", "/data=/no/such"}, kPatience);
  ASSERT_TRUE(result.end);
  EXPECT_EQ(result.end->exit_status, 2);
  EXPECT_THAT(result.errors, testing::HasSubstr("--path-map /data=/no/such: /no/such: No such file or directory"));
}

TEST_F(DistributedAttributionTest, AWorkerWithAnotherFileTreeFailsNoInstance) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(data())) {
    if (!entry.is_regular_file()) continue;
    ExampleInstance other;
    other.sop_instance_uid = "1.2.3.4.5";
    WriteFile(replica() / std::filesystem::relative(entry.path(), data()), ExampleFile(other));
  }
  StartWorkerOfTheReplica();
  const std::string session = Feed();
  // Even the only worker is not trusted at once.
  EXPECT_TRUE(Eventually([&] { return Ctl({"show", session}).output.find("200") != std::string::npos; }));
  StartWorker("good", {"-t", "1"});
  ExpectAllStored(session, instances_);
  EXPECT_EQ(Number(SummaryAtEnd(session), "failed_transfers"), 0U);
}

TEST_F(DistributedAttributionTest, AWorkerWithATruncatedReplicaFailsNoInstance) {
  std::filesystem::copy(data(), replica(), std::filesystem::copy_options::recursive);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(replica())) {
    if (entry.is_regular_file()) std::filesystem::resize_file(entry.path(), entry.file_size() - 20);
  }
  StartWorker("good", {"-t", "1"});
  StartWorkerOfTheReplica();
  const std::string session = Feed();
  EXPECT_TRUE(IsQuarantined());
  EXPECT_THAT(Ctl({"workers"}).output, testing::ContainsRegex("bad +quarantined"));
  ExpectAllStored(session, instances_);
  EXPECT_EQ(Number(SummaryAtEnd(session), "failed_transfers"), 0U);
}

TEST_F(DistributedAttributionTest, AWorkerWithoutStorageIsQuarantinedAndNamed) {
  std::filesystem::create_directories(replica() / "something else");  // mounted, but with other content
  StartWorkerOfTheReplica();
  ExpectTheGoodOneSendsAll(Feed());
}

}  // namespace
}  // namespace dicom_sender
