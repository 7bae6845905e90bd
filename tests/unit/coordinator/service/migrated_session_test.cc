// Sessions of a ledger of schema 1 continue where they were.
#include <gmock/gmock.h>

#include "tests/unit/coordinator/service/conversation.h"

namespace dicom_sender {
namespace {

constexpr const char* kHalfSent = "aaaaaaaa-0000-4000-8000-000000000001";
constexpr const char* kScanning = "bbbbbbbb-0000-4000-8000-000000000002";
constexpr const char* kUnreachable = "cccccccc-0000-4000-8000-000000000003";

class MigratedSessionTest : public testing::Test {
 protected:
  MigratedSessionTest() {
    file_.BecomeSchema(1);
    service_ = std::make_unique<ServiceOnFile>(file_);
  }
  void Say(wire::ClientRequest request) { service_->Say(Named("", std::move(request))); }
  // Returns the grants that follow.
  std::vector<wire::LeaseGrant> Say(const std::string& worker, wire::WorkerMessage message) {
    std::vector<wire::LeaseGrant> grants;
    for (const Outgoing& outgoing : service_->Say(Named("", worker, std::move(message)))) {
      if (outgoing.message.worker().has_grant()) grants.push_back(outgoing.message.worker().grant());
    }
    return grants;
  }
  wire::SessionStatus Status(const char* session) { return service_->Status(session); }

  LedgerFile file_;
  std::unique_ptr<ServiceOnFile> service_;
};

TEST_F(MigratedSessionTest, LeasesInForceContinueAndTheSessionCompletes) {
  ASSERT_EQ(Status(kHalfSent).leases(), 2U);
  EXPECT_TRUE(Say("w1", StatusOf("w1", 1, 2, {1, 3})).empty()) << "it is busy with what it has";
  // Its first report under lease 1 is in the ledger; the delayed and the pending instance are left.
  Say("w1", ReportOf(1, 1, {3, {0xC000}}));
  EXPECT_EQ(Status(kHalfSent).failed(), 2U) << "a repetition of what was applied before";
  const auto last_study = Say("w1", LastReportOf(1, 2, {3, {0, 0}}));
  ASSERT_EQ(last_study.size(), 1U);
  EXPECT_EQ(last_study[0].study_instance_uid(), "1.2.3");
  EXPECT_EQ(last_study[0].lease_id(), 5U) << "above those that were granted before";
  Say("w1", LastReportOf(3, 1, {1, {0, 0}}));
  Say("w1", LastReportOf(5, 1, {0, {0}}));
  const wire::SessionStatus status = Status(kHalfSent);
  EXPECT_EQ(status.state(), wire::SESSION_COMPLETE);
  EXPECT_EQ(status.total(), 12U);
  EXPECT_EQ(status.stored(), 8U);
  EXPECT_EQ(status.failed(), 2U);
  EXPECT_EQ(status.skipped(), 2U);
  EXPECT_EQ(status.ignored_size(), 2);
  wire::ClientRequest request;
  request.mutable_get_report()->set_session(kHalfSent);
  const auto report = service_->Say(Named("", request)).at(0).message.client().report();
  EXPECT_EQ(report.workers(), 2U);
  EXPECT_EQ(report.resends(), 2U) << "of what the lost lease may have sent";
  EXPECT_EQ(report.retries(), 1U);
}

TEST_F(MigratedSessionTest, ASessionThatWasBeingScannedIsScannedAgain) {
  Say(BeginScan(kScanning, 1));
  Say(ScanComplete(kScanning, 1));
  EXPECT_EQ(Status(kScanning).state(), wire::SESSION_SENDING);
  const auto grants = Say("w3", StatusOf("w3", 1, 1, {}));
  ASSERT_FALSE(grants.empty());
}

TEST_F(MigratedSessionTest, ASessionThatHadEndedIsResumed) {
  Say(OpenSession(kUnreachable, true));
  wire::SessionStatus status = Status(kUnreachable);
  EXPECT_EQ(status.state(), wire::SESSION_SENDING);
  EXPECT_EQ(status.failed(), 0U);
  for (const auto& grant : Say("w3", StatusOf("w3", 1, 10, {}))) {
    if (grant.study_instance_uid() == "1.4.1") Say("w3", LastReportOf(grant.lease_id(), 1, {1, {0}}));
  }
  status = Status(kUnreachable);
  EXPECT_EQ(status.state(), wire::SESSION_COMPLETE);
  EXPECT_EQ(status.stored(), 2U);
}

}  // namespace
}  // namespace dicom_sender
