// A lease belongs to the key to which it was granted or, without keys, to the connection of its worker.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/ledger/sqlite/sqlite_ledger.h"
#include "coordinator/service/service.h"
#include "proto/validate.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/coordinator/service/conversation.h"

namespace dicom_sender {
namespace {

constexpr const char* kSession = kConversationSession;

class IdentityTest : public testing::Test {
 protected:
  void SetUp() override { Restart(); }
  void Restart() {
    service_.reset();
    ledger_.reset();
    auto ledger = OpenSqliteLedger((folder_ / "ledger.db").string());
    ASSERT_TRUE(ledger) << ledger.error();
    ledger_ = *std::move(ledger);
    service_ = std::make_unique<Service>(*ledger_, SchedulerOptions{}, metrics_, folder_.path().string());
    service_->ResumeSessions(now_, WallTime(std::chrono::milliseconds(1)));
  }
  std::vector<wire::FromCoordinator> Say(const PeerMessage& from, const google::protobuf::MessageLite& envelope) {
    PeerMessage incoming = from;
    incoming.bytes = envelope.SerializeAsString();
    std::vector<wire::FromCoordinator> answers;
    for (auto& outgoing : service_->Step({incoming}, now_, WallTime(std::chrono::milliseconds(1))).messages) {
      answers.push_back(std::move(outgoing.message));
    }
    return answers;
  }
  void Ask(wire::ClientRequest request) { Say({"client", {}}, Envelope(std::move(request))); }
  // Publishes one study and returns the worker's lease.
  LeaseId LeaseOf(const PeerMessage& worker) {
    Ask(OpenSession(kSession, false));
    Ask(BeginScan(kSession, 1));
    Ask(PublishFiles(kSession, "1.2.3", {.folder = "a", .first = 0, .count = 2}));
    Ask(ScanComplete(kSession, 1));
    for (const auto& answer : Say(worker, Envelope(StatusOf("w", 1, 1, {})))) {
      if (answer.worker().has_grant()) return answer.worker().grant().lease_id();
    }
    ADD_FAILURE() << "no grant";
    return 0;
  }
  bool IsTaken(const PeerMessage& from, LeaseId lease, std::uint64_t seq = 1) {
    const auto answers = Say(from, Envelope(ReportOf(lease, seq, {0, {0}})));
    return answers.size() == 1 && answers[0].worker().has_report_ack();
  }
  std::uint64_t Stored() { return ledger_->LoadSession(ledger_->Sessions().at(0)).counts.successful(); }

  const PeerMessage owner_{"peer1", {}, "10.0.0.1", "KEY1"}, thief_{"peer2", {}, "10.0.0.2", "KEY2"};
  TemporaryFolder folder_;
  TimePoint now_{std::chrono::hours(1)};
  prometheus::Registry registry_;
  CoordinatorMetrics metrics_{registry_};
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<Service> service_;
};

TEST_F(IdentityTest, ReportsUnderALeaseOfAnotherKeyChangeNothing) {
  const LeaseId lease = LeaseOf(owner_);
  EXPECT_FALSE(IsTaken(thief_, lease));
  EXPECT_EQ(Stored(), 0U);
  EXPECT_TRUE(IsTaken(owner_, lease));
  EXPECT_EQ(Stored(), 1U);
}

TEST_F(IdentityTest, AKeyMayUseAnotherConnection) {
  const LeaseId lease = LeaseOf(owner_);
  EXPECT_TRUE(IsTaken({"peer9", {}, "10.0.0.1", "KEY1"}, lease));
}

TEST_F(IdentityTest, ANameBelongsToItsKeyAsLongAsTheWorkerIsKnown) {
  LeaseOf(owner_);
  wire::WorkerMessage taking = StatusOf("w", 9, 4, {});
  taking.mutable_status()->set_incarnation(99);
  const auto answers = Say(thief_, Envelope(taking));
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_THAT(answers[0].refusal().reason(), testing::HasSubstr("connected with another key"));
  EXPECT_FALSE(answers[0].refusal().for_good());
}

TEST_F(IdentityTest, ACoordinatorRestartKeepsTheOwnersOfLeases) {
  const LeaseId lease = LeaseOf(owner_);
  Restart();
  EXPECT_FALSE(IsTaken(thief_, lease));
  ASSERT_EQ(Say(thief_, Envelope(StatusOf("w", 1, 1, {lease}))).size(), 1U);
  EXPECT_FALSE(IsTaken(thief_, lease)) << "the name is the owner's";
  EXPECT_TRUE(IsTaken(owner_, lease));
}

TEST_F(IdentityTest, PagesAreSentToTheOwnerOnly) {
  const LeaseId lease = LeaseOf(owner_);
  wire::WorkerMessage request;
  request.mutable_page_request()->set_lease_id(lease);
  const auto stolen = Say(thief_, Envelope(request));
  ASSERT_EQ(stolen.size(), 1U);
  EXPECT_TRUE(stolen[0].has_refusal());
  EXPECT_EQ(Say(owner_, Envelope(request)).at(0).worker().page().instances_size(), 2);
}

TEST_F(IdentityTest, WithoutKeysTheConnectionIsTheIdentity) {
  const PeerMessage here{"peer1", {}}, there{"peer2", {}};
  const LeaseId lease = LeaseOf(here);
  EXPECT_FALSE(IsTaken(there, lease));
  EXPECT_EQ(Stored(), 0U);
  // The worker has reconnected and sends its status first.
  Say(there, Envelope(StatusOf("w", 2, 1, {lease})));
  EXPECT_TRUE(IsTaken(there, lease));
  EXPECT_FALSE(IsTaken(here, lease, 2)) << "that connection is over";
}

}  // namespace
}  // namespace dicom_sender
