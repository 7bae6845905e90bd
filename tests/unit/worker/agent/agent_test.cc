#include "worker/agent/agent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "proto/limits.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint32_t kTtlMs = 90'000;
// This clock may run slower than the coordinator's.
constexpr milliseconds kBelieved(kTtlMs - kTtlMs / 100);

class AgentTest : public testing::Test {
 protected:
  AgentOutput Step(Duration later = {}) {
    now_ += later;
    return agent_.Step(now_);
  }

  wire::CoordinatorMessage Grant(std::uint64_t lease) {
    wire::CoordinatorMessage message;
    message.mutable_grant()->set_lease_id(lease);
    message.mutable_grant()->set_ttl_ms(kTtlMs);
    return message;
  }
  void Acknowledge(std::uint64_t seq, std::vector<std::uint64_t> renewed, std::vector<std::uint64_t> revoked = {}) {
    wire::CoordinatorMessage message;
    auto* ack = message.mutable_status_ack();
    ack->set_seq(seq);
    ack->set_ttl_ms(kTtlMs);
    ack->mutable_renewed()->Assign(renewed.begin(), renewed.end());
    ack->mutable_revoked()->Assign(revoked.begin(), revoked.end());
    agent_.Receive(message, now_);
  }
  void AcknowledgeReport(std::uint64_t lease, std::uint64_t seq) {
    wire::CoordinatorMessage message;
    message.mutable_report_ack()->set_lease_id(lease);
    message.mutable_report_ack()->set_seq(seq);
    agent_.Receive(message, now_);
  }

  static std::vector<wire::WorkerStatus> Statuses(const AgentOutput& out) {
    std::vector<wire::WorkerStatus> statuses;
    for (const auto& message : out.messages) {
      if (message.has_status()) statuses.push_back(message.status());
    }
    return statuses;
  }
  static std::vector<wire::Report> Reports(const AgentOutput& out) {
    std::vector<wire::Report> reports;
    for (const auto& message : out.messages) {
      if (message.has_report()) reports.push_back(message.report());
    }
    return reports;
  }
  static std::vector<std::uint64_t> Started(const AgentOutput& out) {
    std::vector<std::uint64_t> ids;
    for (const auto& grant : out.starts) ids.push_back(grant.lease_id());
    return ids;
  }
  static wire::Outcome Outcome(std::uint32_t index) {
    wire::Outcome outcome;
    outcome.set_index(index);
    return outcome;
  }
  static wire::GiveBack Done() { return {}; }

  // Starts a lease.
  void StartLease(std::uint64_t lease) {
    agent_.Receive(Grant(lease), now_);
    const auto statuses = Statuses(Step());
    ASSERT_EQ(statuses.size(), 1U);
    Acknowledge(statuses[0].seq(), {lease});
    ASSERT_THAT(Started(Step()), ElementsAre(lease));
  }

  TimePoint now_{seconds(1000)};
  Agent agent_{{.worker_id = "w", .incarnation = 5, .capacity = 2, .report_every = milliseconds(10)}};
};

TEST_F(AgentTest, RegistersWithTheCoordinator) {
  const auto out = Step();
  const auto statuses = Statuses(out);
  ASSERT_EQ(statuses.size(), 1U);
  EXPECT_EQ(statuses[0].worker_id(), "w");
  EXPECT_EQ(statuses[0].incarnation(), 5U);
  EXPECT_EQ(statuses[0].capacity(), 2U);
  EXPECT_EQ(statuses[0].held_size(), 0);
  EXPECT_THAT(Step().messages, IsEmpty()) << "once";
}

TEST_F(AgentTest, AGrantStartsOnlyWhenItIsConfirmed) {
  Step();
  agent_.Receive(Grant(7), now_);
  const auto out = Step();
  EXPECT_THAT(out.starts, IsEmpty());
  const auto statuses = Statuses(out);
  ASSERT_EQ(statuses.size(), 1U);
  ASSERT_EQ(statuses[0].held_size(), 1);
  EXPECT_TRUE(statuses[0].held(0).progressed()) << "otherwise a lost confirmation could not be requested again";
  Acknowledge(statuses[0].seq(), {7});
  EXPECT_THAT(Started(Step()), ElementsAre(7U));
  agent_.Receive(Grant(7), now_);
  EXPECT_THAT(Step().starts, IsEmpty()) << "a repeated grant starts nothing";
}

TEST_F(AgentTest, ALateGrantThatIsNotInForceIsDropped) {
  agent_.Receive(Grant(7), now_);
  Acknowledge(Statuses(Step())[0].seq(), {}, {7});
  const auto out = Step();
  EXPECT_THAT(out.starts, IsEmpty());
  EXPECT_THAT(out.lost, IsEmpty()) << "it was not being sent";
  EXPECT_EQ(agent_.leases(), 0U);
}

TEST_F(AgentTest, AnEndedLeaseDoesNotStartAgain) {
  StartLease(1);
  agent_.Record(1, Outcome(0));
  agent_.Finish(1, Done());
  Step();
  AcknowledgeReport(1, 1);
  Step();
  ASSERT_EQ(agent_.leases(), 0U);
  agent_.Receive(Grant(1), now_);  // a repetition that was delayed for long
  EXPECT_EQ(agent_.leases(), 0U) << "its reports would be numbered from 1 again, and taken for repetitions";
  const auto statuses = Statuses(Step());
  ASSERT_EQ(statuses.size(), 1U) << "the coordinator does not know yet that it is over";
  EXPECT_EQ(statuses[0].held_size(), 0);
}

TEST_F(AgentTest, ALostConfirmationIsRequestedAgain) {
  agent_.Receive(Grant(7), now_);
  Step();
  EXPECT_THAT(Step(seconds(4)).messages, IsEmpty());
  const auto statuses = Statuses(Step(seconds(1)));
  ASSERT_EQ(statuses.size(), 1U);
  Acknowledge(statuses[0].seq(), {7});
  EXPECT_THAT(Started(Step()), ElementsAre(7U));
}

TEST_F(AgentTest, StartsNoMoreThanItsCapacity) {
  for (const std::uint64_t lease : {1, 2, 3}) agent_.Receive(Grant(lease), now_);
  Acknowledge(Statuses(Step())[0].seq(), {1, 2, 3});
  EXPECT_THAT(Started(Step()), ElementsAre(1U, 2U));
  agent_.Finish(1, Done());
  EXPECT_THAT(Started(Step()), ElementsAre(3U));
}

TEST_F(AgentTest, ALeaseIsRenewedFromTheTimeOfTheStatus) {
  agent_.Receive(Grant(1), now_);
  const auto seq = Statuses(Step())[0].seq();
  now_ += seconds(3);  // the answer is delayed
  Acknowledge(seq, {1});
  Step();
  EXPECT_THAT(Step(kBelieved - seconds(3) - milliseconds(1)).lost, IsEmpty());
  EXPECT_THAT(Step(milliseconds(1)).lost, ElementsAre(1U));
}

TEST_F(AgentTest, AConfirmationOlderThanTheLeaseIsIgnored) {
  agent_.Receive(Grant(1), now_);
  const auto seq = Statuses(Step())[0].seq();
  now_ += milliseconds(kTtlMs);
  Acknowledge(seq, {1});
  EXPECT_THAT(Step().starts, IsEmpty());
}

TEST_F(AgentTest, ReportsProgressUntilItIsAcknowledged) {
  StartLease(1);
  agent_.Progress(1, 100);
  auto statuses = Statuses(Step(milliseconds(kTtlMs) / 3));
  ASSERT_EQ(statuses.size(), 1U);
  EXPECT_TRUE(statuses[0].held(0).progressed());
  // That status is lost, and there is no further progress: the earlier progress still counts.
  statuses = Statuses(Step(milliseconds(kTtlMs) / 3));
  ASSERT_EQ(statuses.size(), 1U);
  EXPECT_TRUE(statuses[0].held(0).progressed());
  Acknowledge(statuses[0].seq(), {1});
  statuses = Statuses(Step(milliseconds(kTtlMs) / 3));
  ASSERT_EQ(statuses.size(), 1U);
  EXPECT_FALSE(statuses[0].held(0).progressed());
}

TEST_F(AgentTest, ALeaseThatEndsWithItsSessionIsNotLost) {
  StartLease(1);
  wire::CoordinatorMessage message;
  message.mutable_status_ack()->add_revoked(1);
  message.mutable_status_ack()->add_ended(1);
  agent_.Receive(message, now_);
  const auto out = Step();
  EXPECT_THAT(out.ended, ElementsAre(1U));
  EXPECT_THAT(out.lost, IsEmpty());
}

TEST_F(AgentTest, ARevokedLeaseStopsAndReportsWithoutAGiveBack) {
  StartLease(1);
  agent_.Record(1, Outcome(0));
  const auto first = Reports(Step());
  ASSERT_EQ(first.size(), 1U);
  Acknowledge(1000, {}, {1});  // revocations count regardless of the status that they answer
  EXPECT_THAT(Step().lost, ElementsAre(1U));
  agent_.Record(1, Outcome(1));
  agent_.Finish(1, Done());
  AcknowledgeReport(1, 1);
  const auto second = Reports(Step());
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(second[0].outcomes(0).index(), 1U);
  EXPECT_FALSE(second[0].has_give_back());
  AcknowledgeReport(1, 2);
  const auto out = Step();
  EXPECT_EQ(agent_.leases(), 0U);
  ASSERT_EQ(Statuses(out).size(), 1U) << "the coordinator waits for the lease to be given back";
  EXPECT_EQ(Statuses(out)[0].held_size(), 0);
}

TEST_F(AgentTest, OneReportIsInFlightAndRepeatedUntilAcknowledged) {
  StartLease(1);
  agent_.Record(1, Outcome(0));
  auto reports = Reports(Step());
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].seq(), 1U);
  agent_.Record(1, Outcome(1));
  EXPECT_THAT(Reports(Step()), IsEmpty());
  EXPECT_EQ(agent_.Backlog(1), 2U);
  reports = Reports(Step(seconds(5)));
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].seq(), 1U) << "the same report without additional outcomes";
  EXPECT_EQ(reports[0].outcomes_size(), 1);
  AcknowledgeReport(1, 1);
  AcknowledgeReport(1, 1);
  EXPECT_THAT(Reports(Step()), IsEmpty()) << "further outcomes may join";
  reports = Reports(Step(milliseconds(10)));
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].seq(), 2U);
  EXPECT_EQ(reports[0].outcomes(0).index(), 1U);
  EXPECT_EQ(agent_.Backlog(1), 1U);
}

TEST_F(AgentTest, GivesBackWithTheLastReportOnly) {
  StartLease(1);
  for (std::uint32_t i = 0; i < kReportOutcomesMax + 1; ++i) agent_.Record(1, Outcome(i));
  agent_.CountAssociation(1);
  agent_.Finish(1, Done());
  auto reports = Reports(Step());
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].outcomes_size(), kReportOutcomesMax);
  EXPECT_FALSE(reports[0].has_give_back());
  AcknowledgeReport(1, 1);
  reports = Reports(Step());
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].outcomes_size(), 1);
  EXPECT_TRUE(reports[0].has_give_back());
  EXPECT_EQ(reports[0].associations(), 1U);
  AcknowledgeReport(1, 2);
  Step();
  EXPECT_EQ(agent_.leases(), 0U);
}

TEST_F(AgentTest, ManyOutcomesAreReportedWithoutDelay) {
  StartLease(1);
  agent_.Record(1, Outcome(0));
  EXPECT_EQ(Reports(Step()).size(), 1U);
  AcknowledgeReport(1, 1);
  agent_.Record(1, Outcome(1));
  const auto out = Step();
  EXPECT_THAT(Reports(out), IsEmpty());
  EXPECT_EQ(*out.wake_at, now_ + milliseconds(10));
  for (std::uint32_t i = 2; i <= 64; ++i) agent_.Record(1, Outcome(i));
  EXPECT_EQ(Reports(Step()).at(0).outcomes_size(), 64);
}

TEST_F(AgentTest, AGiveBackWithoutOutcomesIsReportedToo) {
  StartLease(1);
  agent_.Finish(1, Done());
  const auto reports = Reports(Step());
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_TRUE(reports[0].has_give_back());
}

TEST_F(AgentTest, PagesAreRequestedUntilTheyArrive) {
  StartLease(1);
  agent_.WantPage(1, 128);
  auto out = Step();
  ASSERT_EQ(out.messages.size(), 1U);
  EXPECT_EQ(out.messages[0].page_request().from_index(), 128U);
  EXPECT_THAT(Step().messages, IsEmpty());
  out = Step(seconds(5));
  ASSERT_EQ(out.messages.size(), 1U);
  EXPECT_TRUE(out.messages[0].has_page_request());
  wire::CoordinatorMessage page;
  page.mutable_page()->set_lease_id(1);
  page.mutable_page()->set_from_index(0);
  agent_.Receive(page, now_);
  EXPECT_THAT(Step().pages, IsEmpty()) << "not the requested page";
  page.mutable_page()->set_from_index(128);
  agent_.Receive(page, now_);
  agent_.Receive(page, now_);
  EXPECT_EQ(Step().pages.size(), 1U) << "the repetition is not requested";
}

TEST_F(AgentTest, RepeatsItsMessagesToANewConnection) {
  StartLease(1);
  StartLease(2);
  agent_.Record(1, Outcome(0));
  agent_.WantPage(2, 128);
  const auto first = Step();
  ASSERT_EQ(first.messages.size(), 2U);
  EXPECT_THAT(Step(milliseconds(100)).messages, IsEmpty());
  agent_.SpeakAgain();
  const auto again = Step();
  ASSERT_EQ(Reports(again).size(), 1U);
  EXPECT_EQ(Reports(again)[0].SerializeAsString(), Reports(first)[0].SerializeAsString()) << "as it was";
  EXPECT_EQ(std::count_if(again.messages.begin(), again.messages.end(),
                          [](const auto& message) { return message.has_page_request(); }),
            1);
  ASSERT_EQ(Statuses(again).size(), 1U);
  EXPECT_EQ(Statuses(again)[0].held_size(), 2);
  EXPECT_EQ(*again.wake_at, now_ + seconds(5));
  EXPECT_THAT(Step().messages, IsEmpty()) << "once";
}

TEST_F(AgentTest, DoesNotRepeatAcknowledgedMessages) {
  StartLease(1);
  agent_.Record(1, Outcome(0));
  Step();
  AcknowledgeReport(1, 1);
  agent_.SpeakAgain();
  const auto out = Step();
  EXPECT_EQ(Statuses(out).size(), 1U);
  EXPECT_EQ(out.messages.size(), 1U);
}

TEST_F(AgentTest, DrainingGivesBackUnstartedLeasesAndAcceptsNoMore) {
  Step();
  agent_.Receive(Grant(1), now_);
  agent_.Drain();
  auto out = Step();
  ASSERT_EQ(Reports(out).size(), 1U);
  EXPECT_EQ(Reports(out)[0].give_back().reason(), wire::GiveBack::DRAINING);
  ASSERT_EQ(Statuses(out).size(), 1U);
  EXPECT_TRUE(Statuses(out)[0].draining());
  Acknowledge(Statuses(out)[0].seq(), {1});
  EXPECT_THAT(Step().starts, IsEmpty());
  AcknowledgeReport(1, 1);
  Step();
  EXPECT_EQ(agent_.leases(), 0U);
}

TEST_F(AgentTest, WakesAtItsNextDeadline) {
  auto out = Step();
  ASSERT_TRUE(out.wake_at);
  EXPECT_EQ(*out.wake_at, now_ + seconds(5)) << "the repetition of the status";
  Acknowledge(Statuses(out).at(0).seq(), {});
  EXPECT_EQ(*Step().wake_at, now_ + seconds(10)) << "the next status";
  StartLease(1);
  agent_.Record(1, Outcome(0));
  out = Step();
  EXPECT_EQ(*out.wake_at, now_ + seconds(5)) << "the repetition of the report";
}

// On a new connection, a report counts only after the coordinator knows the worker.
TEST_F(AgentTest, SendsItsStatusBeforeItsReports) {
  StartLease(1);
  agent_.Record(1, Outcome(0));
  Step();
  agent_.SpeakAgain();
  const auto out = Step(milliseconds(1));
  ASSERT_EQ(out.messages.size(), 2U);
  EXPECT_TRUE(out.messages[0].has_status());
  EXPECT_TRUE(out.messages[1].has_report());
}

TEST_F(AgentTest, ReportsAtOnceWhyItIsNotReady) {
  Acknowledge(Statuses(Step()).at(0).seq(), {});
  EXPECT_THAT(Statuses(Step()), IsEmpty());
  agent_.SetNotReady("the folder /mnt is missing");
  const auto statuses = Statuses(Step());
  ASSERT_EQ(statuses.size(), 1U);
  EXPECT_EQ(statuses[0].not_ready(), "the folder /mnt is missing");
  agent_.SetNotReady("the folder /mnt is missing");
  EXPECT_THAT(Statuses(Step()), IsEmpty()) << "it is known";
  agent_.SetNotReady("");
  ASSERT_EQ(Statuses(Step()).size(), 1U);
}

TEST_F(AgentTest, ADrainRequestStopsNewLeases) {
  Step();
  agent_.Receive(Grant(7), now_);
  const auto status = Statuses(Step()).at(0);
  wire::CoordinatorMessage message;
  message.mutable_status_ack()->set_drain(true);
  agent_.Receive(message, now_);
  Acknowledge(status.seq(), {7});
  const auto out = Step();
  EXPECT_TRUE(out.drain);
  EXPECT_THAT(out.starts, IsEmpty()) << "confirmed together with the request";
}

TEST_F(AgentTest, ReportsADrainRequest) {
  EXPECT_FALSE(Step().drain);
  wire::CoordinatorMessage message;
  message.mutable_status_ack()->set_drain(true);
  agent_.Receive(message, now_);
  EXPECT_TRUE(Step().drain);
}

TEST_F(AgentTest, AReportForAnotherLedgerIsRepeatedWithoutBlockingTheEnd) {
  StartLease(1);
  agent_.Record(1, Outcome(0));
  ASSERT_EQ(Reports(Step()).size(), 1U);
  agent_.ReportRefused(1);
  EXPECT_FALSE(agent_.OnlyRefusedLeft()) << "it is still being sent";
  Acknowledge(1000, {}, {1});
  agent_.Finish(1, Done());
  EXPECT_EQ(Reports(Step(seconds(5))).size(), 1U) << "the coordinator may return with its ledger";
  EXPECT_TRUE(agent_.OnlyRefusedLeft());
  EXPECT_EQ(agent_.leases(), 1U);
  StartLease(2);
  EXPECT_FALSE(agent_.OnlyRefusedLeft()) << "the other lease is of this ledger";
}

TEST_F(AgentTest, AnAcceptedReportIsNoLongerRefused) {
  StartLease(1);
  agent_.Record(1, Outcome(0));
  Step();
  agent_.ReportRefused(1);
  AcknowledgeReport(1, 1);
  agent_.Finish(1, Done());
  Step(seconds(1));
  EXPECT_FALSE(agent_.OnlyRefusedLeft()) << "its last report waits for the answer";
  AcknowledgeReport(1, 2);
  Step();
  EXPECT_TRUE(agent_.OnlyRefusedLeft());
  EXPECT_EQ(agent_.leases(), 0U);
}

TEST_F(AgentTest, ALostLeaseThatIsStillSendingDoesNotKeepItAwake) {
  StartLease(1);
  agent_.WantPage(1, 128);
  Step();
  const auto out = Step(milliseconds(kTtlMs));
  ASSERT_THAT(out.lost, ElementsAre(1U));
  EXPECT_GT(*out.wake_at, now_) << "its sender may need a while for the instance in flight";
}

}  // namespace
}  // namespace dicom_sender
