#include "coordinator/leadership/leader_election.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/coordinator/leadership/fake_shared_ledger.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using Health = FakeSharedLedger::Health;
using Decision = std::optional<tl::expected<AcquiredLeadership, std::string>>;

constexpr milliseconds kTimeout(200);

class LeaderElectionTest : public testing::Test {
 protected:
  // Returns an election that has started.
  std::unique_ptr<LeaderElection> Make(bool strict = true) {
    auto election = std::make_unique<LeaderElection>(shared_, "me", kTimeout, strict);
    election->Start();
    return election;
  }
  static Decision Wait(LeaderElection& election) {
    Decision decision;
    EXPECT_TRUE(Eventually([&] {
      decision = election.Decision();
      return decision.has_value();
    }));
    return decision;
  }

  FakeSharedLedger fake_;
  const SharedLedger shared_ = fake_.shared();
};

TEST_F(LeaderElectionTest, TakesOverAtOnceWithoutALeader) {
  for (const LeaderRecord& record : {LeaderRecord{}, LeaderRecord{.epoch = 7, .leader = "", .renewals = 3}}) {
    fake_.SetRecord(record);
    const auto election = Make();
    const auto decision = Wait(*election);
    ASSERT_TRUE(decision && *decision);
    EXPECT_EQ((*decision)->record, (LeaderRecord{.epoch = record.epoch + 1, .leader = "me", .renewals = 0}));
  }
}

TEST_F(LeaderElectionTest, TakesOverFromALeaderThatDoesNotRenewForTheTimeout) {
  fake_.SetRecord({.epoch = 3, .leader = "other", .renewals = 9});
  const TimePoint begin = MonotonicNow();
  const auto election = Make();
  const auto decision = Wait(*election);
  ASSERT_TRUE(decision && *decision);
  EXPECT_EQ((*decision)->record.epoch, 4U);
  EXPECT_GE(MonotonicNow() - begin, kTimeout);
  EXPECT_GE((*decision)->sent_at, begin + kTimeout) << "the lease counts from when the request was sent";
}

TEST_F(LeaderElectionTest, DoesNotTakeOverFromALeaderThatRenews) {
  fake_.SetRecord({.epoch = 3, .leader = "other", .renewals = 0});
  const auto election = Make();
  const WakeEvent never;
  for (const TimePoint end = MonotonicNow() + 5 * kTimeout; MonotonicNow() < end;) {
    fake_.Renew();
    never.WaitFor(kTimeout / 20);
    ASSERT_FALSE(election->Decision());
  }
  ASSERT_TRUE(election->view().record);
  EXPECT_EQ(election->view().record->leader, "other");
}

TEST_F(LeaderElectionTest, ARenewalIsNotReportedAsAChange) {
  fake_.SetRecord({.epoch = 3, .leader = "other", .renewals = 0});
  const auto election = Make();
  ASSERT_TRUE(election->changed().WaitFor(kPatience));
  election->changed().Clear();
  fake_.Renew();
  ASSERT_TRUE(Eventually([&] { return election->view().record->renewals == 1; }));
  EXPECT_FALSE(election->changed().raised());
}

TEST_F(LeaderElectionTest, PermanentErrorsAreReportedAtStartup) {
  fake_.SetTrouble(LedgerTrouble{.sentence = "wrong password", .passing = false});
  const auto election = Make();
  const auto decision = Wait(*election);
  ASSERT_TRUE(decision);
  ASSERT_FALSE(*decision);
  EXPECT_EQ(decision->error(), "wrong password");
}

TEST_F(LeaderElectionTest, TransientAndLaterErrorsAreRetried) {
  for (const bool strict : {true, false}) {
    fake_.SetRecord({});
    fake_.SetTrouble(LedgerTrouble{.sentence = "it is starting", .passing = strict});
    const auto election = Make(strict);
    ASSERT_TRUE(Eventually([&] { return !election->view().trouble.empty(); }));
    EXPECT_EQ(election->view().trouble, "it is starting");
    EXPECT_FALSE(election->Decision());
    fake_.SetTrouble(std::nullopt);
    const auto decision = Wait(*election);
    EXPECT_TRUE(decision && *decision) << strict;
  }
}

TEST_F(LeaderElectionTest, TakesOverWhenTheStoreIsReachableAgain) {
  fake_.SetRecord({.epoch = 3, .leader = "other", .renewals = 0});
  const auto election = Make();
  ASSERT_TRUE(Eventually([&] { return election->view().record.has_value(); }));
  fake_.SetHealth(Health::kAway);
  ASSERT_TRUE(Eventually([&] { return !election->view().trouble.empty(); }));
  EXPECT_FALSE(election->view().record) << "the leader is unknown now";
  fake_.SetHealth(Health::kWell);
  const auto decision = Wait(*election);
  ASSERT_TRUE(decision && *decision);
  EXPECT_EQ((*decision)->record.epoch, 4U);
}

TEST_F(LeaderElectionTest, TheLongerTimeoutApplies) {
  fake_.SetRecord({.epoch = 3, .leader = "other", .renewals = 9, .leader_timeout = 4 * kTimeout});
  const TimePoint begin = MonotonicNow();
  const auto election = Make();
  const auto decision = Wait(*election);
  ASSERT_TRUE(decision && *decision);
  EXPECT_GE(MonotonicNow() - begin, 4 * kTimeout);
}

TEST_F(LeaderElectionTest, HandsOverALeadershipTakenDuringShutdown) {
  fake_.SetTakingHangs(true);
  auto election = Make();
  ASSERT_TRUE(Eventually([this] { return fake_.waiting() > 0; }));
  std::thread end([&] { election.reset(); });
  fake_.SetTakingHangs(false);
  end.join();
  EXPECT_EQ(fake_.record(), (LeaderRecord{.epoch = 1, .leader = "", .renewals = 0}));
}

TEST_F(LeaderElectionTest, HandsOverAnUnclaimedLeadership) {
  auto election = Make();
  ASSERT_TRUE(Eventually([&] { return election->changed().raised(); }));
  election.reset();
  EXPECT_EQ(fake_.record(), (LeaderRecord{.epoch = 1, .leader = "", .renewals = 0}));
}

TEST_F(LeaderElectionTest, StopsWhileATakeoverHangs) {
  fake_.SetTakingHangs(true);
  auto election = Make();
  ASSERT_TRUE(Eventually([this] { return fake_.waiting() > 0; }));
  election.reset();
  EXPECT_EQ(fake_.record().epoch, 0U);
}

TEST_F(LeaderElectionTest, StopsWhileTheStoreHangs) {
  fake_.SetHealth(Health::kHanging);
  const auto election = Make();
  EXPECT_FALSE(election->changed().WaitFor(milliseconds(50)));
}

}  // namespace
}  // namespace dicom_sender
