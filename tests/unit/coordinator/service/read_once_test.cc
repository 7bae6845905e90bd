// How often a step reads the ledger: it passes on what it has already read.
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <memory>

#include "coordinator/service/service.h"
#include "proto/validate.h"
#include "tests/sim/fault_ledger.h"
#include "tests/sim/memory_ledger.h"
#include "tests/unit/coordinator/service/conversation.h"

namespace dicom_sender {
namespace {

constexpr const char* kSession = kConversationSession;

class CountingLedger : public FaultLedger {
 public:
  using FaultLedger::FaultLedger;

  std::optional<SessionRecord> FindSession(std::string_view uuid) override {
    ++sessions;
    return FaultLedger::FindSession(uuid);
  }
  SessionRecord LoadSession(SessionKey session) override {
    ++sessions;
    return FaultLedger::LoadSession(session);
  }
  std::vector<InstanceFacts> LoadInstances(StudyKey study, std::span<const std::uint32_t> indices) override {
    ++instances;
    return FaultLedger::LoadInstances(study, indices);
  }

  int sessions = 0, instances = 0;  // numbers of reads
};

class ReadOnceTest : public testing::Test {
 protected:
  // Publishes one study and grants it to a worker. Returns the lease.
  LeaseId Begin(std::uint32_t files) {
    Say("client", Envelope(OpenSession(kSession, false)));
    Say("client", Envelope(BeginScan(kSession, 1)));
    Say("client", Envelope(PublishFiles(kSession, "1.2.3", {.folder = "a", .first = 0, .count = files})));
    Say("worker", Envelope(StatusOf("worker", 1, 1, {})));
    for (const Outgoing& outgoing : Say("client", Envelope(ScanComplete(kSession, 1)))) {
      if (outgoing.message.worker().has_grant()) return outgoing.message.worker().grant().lease_id();
    }
    ADD_FAILURE() << "nothing was granted";
    return 0;
  }
  // Returns the number of reads in this step.
  template <class Message>
  std::vector<Outgoing> Say(const std::string& peer, const Message& envelope) {
    ledger_.sessions = ledger_.instances = 0;
    return service_
        .Step({PeerMessage{peer, envelope.SerializeAsString()}}, TimePoint(std::chrono::seconds(1)),
              WallTime(std::chrono::seconds(1'000)))
        .messages;
  }

  prometheus::Registry registry_;
  CoordinatorMetrics metrics_{registry_};
  CountingLedger ledger_{MemoryLedgerStore().Open()};
  Service service_{ledger_, {}, metrics_, {}};
};

TEST_F(ReadOnceTest, AQueryOfASessionReadsItsRecordOnce) {
  Begin(3);
  std::vector<wire::ClientRequest> questions(6);
  questions[0].mutable_get_session()->set_session(kSession);
  questions[1].mutable_get_report()->set_session(kSession);
  questions[2].mutable_list_studies()->set_session(kSession);
  questions[3].mutable_list_failures()->set_session(kSession);
  questions[4].mutable_list_copies()->set_session(kSession);
  questions[5].mutable_read_summary()->set_session(kSession);
  for (const auto& question : questions) {
    EXPECT_EQ(Say("client", Envelope(question)).size(), 1U);
    EXPECT_EQ(ledger_.sessions, 1) << question.DebugString();
  }
}

TEST_F(ReadOnceTest, AReportReadsItsInstancesOnceAndNotItsSession) {
  const LeaseId lease = Begin(4);
  Say("worker", Envelope(ReportOf(lease, 1, {.first = 0, .statuses = {0, 0xB000, 0xC000}})));
  EXPECT_EQ(ledger_.instances, 1);
  EXPECT_EQ(ledger_.sessions, 0);
  EXPECT_EQ(service_.Look(TimePoint(std::chrono::seconds(1)), WallTime()).failures().failures(0).session(), kSession);
}

TEST_F(ReadOnceTest, ABatchWithoutCopiesReadsItsSessionOnce) {
  Begin(1);
  Say("client", Envelope(PublishFiles(kSession, "1.2.3", {.folder = "b", .first = 10, .count = 5})));
  EXPECT_EQ(ledger_.sessions, 1);
}

}  // namespace
}  // namespace dicom_sender
