// Tests the test destination with independent programs: DCMTK's storescu, dcmsend, and echoscu.
#include <gmock/gmock.h>

#include "tests/support/example_studies.h"
#include "tests/support/process.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/support/test_destination/scripted_destination.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;

class DcmtkClients : public testing::Test {
 protected:
  void SetUp() override {
    if (RunProcess({"sh", "-c", "command -v storescu dcmsend echoscu"}, kLong).end != ProcessEnd{0, 0}) {
      GTEST_SKIP() << "DCMTK's programs are not installed";
    }
  }

  // Returns files 1 ... `count`, in the order of their names.
  std::vector<ExampleInstance> Write(int count, std::uint32_t pixel_bytes = 64) {
    count_ = static_cast<std::size_t>(count);
    return WriteExampleStudies(folder_.path(), 1, count, pixel_bytes);
  }
  // Sends all written files on one association. DCMTK logs to errors or output, so both are returned.
  std::string StoreScu(const Destination& destination, std::vector<std::string> options = {}) {
    std::vector<std::string> arguments = {"storescu", "-d", "-R", "-to", "20", "-aec", "ARCHIVE"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.insert(arguments.end(), {"127.0.0.1", std::to_string(destination.port())});
    for (std::size_t i = 1; i <= count_; ++i) {
      arguments.push_back(folder_ / ("study_1/image_" + std::to_string(i) + ".dcm"));
    }
    const ProcessResult result = RunProcess(arguments, kLong, {"TCP_NODELAY=1"});
    exit_status_ = result.end ? result.end->exit_status : -1;
    return result.output + result.errors;
  }

  TemporaryFolder folder_;
  std::size_t count_ = 0;
  int exit_status_ = -1;
};

TEST_F(DcmtkClients, EchoIsAnswered) {
  Destination destination;
  const ProcessResult result =
      RunProcess({"echoscu", "-v", "127.0.0.1", std::to_string(destination.port())}, kLong, {"TCP_NODELAY=1"});
  EXPECT_EQ(result.end, (ProcessEnd{0, 0})) << result.errors;
  const AssociationRecord record = destination.Ended();
  EXPECT_EQ(record.echoes, 1U);
  EXPECT_EQ(record.end, AssociationEnd::kReleased);
}

TEST_F(DcmtkClients, DatasetArrivesByteForByte) {
  const TemporaryFolder store;
  Destination destination("", DestinationOptions{.store_folder = store.path().string(), .hash_datasets = true});
  const auto instances = Write(3, 300000);
  StoreScu(destination);
  EXPECT_EQ(exit_status_, 0);
  const AssociationRecord record = destination.Ended();
  EXPECT_EQ(record.calling_ae, "STORESCU");
  EXPECT_EQ(record.called_ae, "ARCHIVE");
  EXPECT_EQ(record.end, AssociationEnd::kReleased);
  EXPECT_EQ(record.instances, 3U);
  EXPECT_GE(record.ended, record.started);
  const DestinationLog log = destination.Log();
  ASSERT_EQ(log.instances.size(), 3U);
  for (std::size_t i = 0; i < instances.size(); ++i) {
    const std::string dataset = ExampleDataset(instances[i]);
    EXPECT_EQ(ReadFile(store / instances[i].sop_instance_uid), dataset);
    EXPECT_EQ(log.instances[i].sop_class, instances[i].sop_class_uid);
    EXPECT_EQ(log.instances[i].transfer_syntax, "1.2.840.10008.1.2.1");
    EXPECT_EQ(log.instances[i].bytes, dataset.size());
    EXPECT_EQ(log.instances[i].status, 0x0000);
    EXPECT_EQ(log.instances[i].fnv1a_hash, Fnv1a(dataset));
  }
}

TEST_F(DcmtkClients, DcmsendArrives) {
  Destination destination;
  Write(20);
  const ProcessResult result =
      RunProcess({"dcmsend", "+sd", "+r", "127.0.0.1", std::to_string(destination.port()), folder_.path().string()},
                 kLong, {"TCP_NODELAY=1"});
  EXPECT_EQ(result.end, (ProcessEnd{0, 0})) << result.errors;
  EXPECT_EQ(destination.Ended().instances, 20U);
}

TEST_F(DcmtkClients, StatusAndCommentAreReported) {
  Destination destination("rule nth=2 status=A700 comment=disk_full");
  Write(3);
  const std::string output = StoreScu(destination, {"-nh"});
  EXPECT_THAT(output, HasSubstr("0xa700: Refused: Out of resources"));
  EXPECT_THAT(output, HasSubstr("disk_full"));
  const DestinationLog log = destination.Log();
  ASSERT_EQ(log.instances.size(), 3U);
  EXPECT_EQ(log.instances[1].status, 0xA700);
  EXPECT_EQ(log.instances[2].status, 0x0000);
}

TEST_F(DcmtkClients, SmallestPduIsRespected) {
  const TemporaryFolder store;
  Destination destination("max-pdu 4096", DestinationOptions{.store_folder = store.path().string()});
  const auto instances = Write(1, 100000);
  EXPECT_THAT(StoreScu(destination), HasSubstr("Max Send PDV: 4084"));
  EXPECT_EQ(ReadFile(store / instances[0].sop_instance_uid), ExampleDataset(instances[0]));
}

TEST_F(DcmtkClients, RejectionIsReportedTheGivenNumberOfTimes) {
  Destination destination("reject result=2 source=3 reason=1 times=2");
  Write(1);
  for (int i = 0; i < 2; ++i) {
    const std::string output = StoreScu(destination);
    EXPECT_THAT(output, HasSubstr("Result: Rejected Transient"));
    EXPECT_THAT(output, HasSubstr("Temporary Congestion"));
    EXPECT_GT(exit_status_, 0);
  }
  StoreScu(destination);
  EXPECT_EQ(exit_status_, 0);
  EXPECT_EQ(destination.Ended(2).end, AssociationEnd::kRejected);
  EXPECT_EQ(destination.Ended(3).end, AssociationEnd::kReleased);
}

TEST_F(DcmtkClients, OtherCalledAeIsRejected) {
  Destination destination("called-ae ELSEWHERE");
  Write(1);
  EXPECT_THAT(StoreScu(destination), HasSubstr("Called AE Title Not Recognized"));
  EXPECT_EQ(destination.Ended().called_ae, "ARCHIVE");
  destination.SetBehaviour(ScriptedBehaviour("called-ae ARCHIVE"));
  StoreScu(destination);
  EXPECT_EQ(exit_status_, 0);
}

TEST_F(DcmtkClients, AbortIsReported) {
  for (const char* action : {"abort-in-dataset", "abort-after-dataset"}) {
    Destination destination(std::string("max-pdu 4096\nrule nth=2 action=") + action);
    Write(3, 100000);
    EXPECT_THAT(StoreScu(destination), HasSubstr("Peer aborted Association")) << action;
    EXPECT_GT(exit_status_, 0);
    EXPECT_EQ(destination.Ended().end, AssociationEnd::kAbortedByUs);
    const DestinationLog log = destination.Log();
    ASSERT_EQ(log.instances.size(), 2U);
    EXPECT_EQ(log.instances[1].status, std::nullopt);
    EXPECT_EQ(log.instances[1].complete, std::string(action) == "abort-after-dataset");
  }
}

TEST_F(DcmtkClients, DropIsReported) {
  for (const char* action : {"drop-in-dataset", "drop-after-dataset"}) {
    Destination destination(std::string("max-pdu 4096\nrule nth=2 action=") + action);
    Write(3, 100000);
    const std::string output = StoreScu(destination);
    EXPECT_THAT(output, HasSubstr("Store Failed")) << action;
    EXPECT_THAT(output, testing::Not(HasSubstr("Store Response (Failed"))) << action;
    EXPECT_GT(exit_status_, 0);
    EXPECT_EQ(destination.Ended().end, AssociationEnd::kDroppedByUs);
    const DestinationLog log = destination.Log();
    ASSERT_EQ(log.instances.size(), 2U);
    EXPECT_EQ(log.instances[1].complete, std::string(action) == "drop-after-dataset");
  }
}

TEST_F(DcmtkClients, StallRunsIntoTheDimseTimeout) {
  Destination destination("rule nth=1 action=stall");
  Write(1);
  EXPECT_THAT(StoreScu(destination, {"-td", "1"}),
              HasSubstr("DIMSE No data available (timeout in non-blocking mode)"));
  EXPECT_GT(exit_status_, 0);
}

TEST_F(DcmtkClients, StallWhileReceivingReadsNothing) {
  Destination destination("receive-buffer 4096\nrule action=stall-receiving");
  Write(1, 120000);  // does not fit into the receive buffer, so the client blocks
  EXPECT_THAT(StoreScu(destination, {"-ts", "1", "-td", "1", "-ta", "1"}), HasSubstr("Store Failed"));
  EXPECT_GT(exit_status_, 0);  // no signal ended it
  destination.Stop();
  EXPECT_EQ(destination.Log().instances.at(0).bytes, 0U);
}

TEST_F(DcmtkClients, StalledAssociationRunsIntoTheAcseTimeout) {
  Destination destination("stall-association");
  Write(1);
  EXPECT_THAT(StoreScu(destination, {"-ta", "1"}), HasSubstr("Association Request Failed"));
  EXPECT_EQ(destination.Ended().end, AssociationEnd::kLost);
}

TEST_F(DcmtkClients, OnlyTheAllowedTransferSyntaxIsAccepted) {
  Destination destination("transfer-syntax 1.2.840.10008.1.2");
  Write(1);
  StoreScu(destination);
  EXPECT_EQ(exit_status_, 0);
  EXPECT_EQ(destination.Log().instances.at(0).transfer_syntax, "1.2.840.10008.1.2");
}

TEST_F(DcmtkClients, OtherSyntaxesAreRefused) {
  for (const char* script : {"abstract-syntax 1.2.840.10008.5.1.4.1.1.2", "transfer-syntax 1.2.840.10008.1.2.4.50"}) {
    Destination destination(script);
    Write(1);
    EXPECT_THAT(StoreScu(destination), HasSubstr("No Acceptable Presentation Contexts")) << script;
    const AssociationRecord record = destination.Log().associations.at(0);
    ASSERT_FALSE(record.contexts.empty());
    EXPECT_EQ(record.contexts[0].abstract_syntax, "1.2.840.10008.5.1.4.1.1.7");
    EXPECT_FALSE(record.contexts[0].proposed.empty());
    EXPECT_EQ(record.contexts[0].accepted, "");
  }
}

}  // namespace
}  // namespace dicom_sender
