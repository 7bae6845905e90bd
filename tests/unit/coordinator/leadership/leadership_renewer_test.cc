#include "coordinator/leadership/leadership_renewer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/coordinator/leadership/fake_shared_ledger.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using testing::EndsWith;
using testing::MatchesRegex;
using testing::StartsWith;
using Health = FakeSharedLedger::Health;

constexpr milliseconds kTimeout(400);

class LeadershipRenewerTest : public testing::Test {
 protected:
  void Take() {
    AcquiredLeadership acquired;
    acquired.sent_at = MonotonicNow();
    acquired.give_up = std::make_unique<WakeEvent>();
    acquired.leadership = *shared_.open_leadership(acquired.give_up.get());
    acquired.record = *acquired.leadership->Take(fake_.record(), "me");
    renewer_ = std::make_unique<LeadershipRenewer>(std::move(acquired), kTimeout, [this] { return Health(); });
  }
  std::optional<std::string> Health() const {
    if (hangs_) return "busy for 300 s";
    return std::nullopt;
  }
  void ExpectLostWithin(Duration most, const TimePoint& begin) {
    EXPECT_TRUE(renewer_->give_up().WaitFor(kPatience));
    EXPECT_FALSE(renewer_->IsLeader());
    EXPECT_TRUE(Eventually([this] { return renewer_->lost().stop_requested(); }));
    EXPECT_LT(MonotonicNow() - begin, most);
  }

  FakeSharedLedger fake_;
  const SharedLedger shared_ = fake_.shared();
  std::atomic<bool> hangs_ = false;
  std::unique_ptr<LeadershipRenewer> renewer_;
};

TEST_F(LeadershipRenewerTest, RenewsAgainAndAgain) {
  Take();
  EXPECT_FALSE(renewer_->give_up().WaitFor(5 * kTimeout));
  EXPECT_TRUE(renewer_->IsLeader());
  EXPECT_EQ(renewer_->epoch(), 1U);
  EXPECT_EQ(renewer_->why_lost(), "");
  EXPECT_GE(fake_.record().renewals, 5U);
}

TEST_F(LeadershipRenewerTest, SurvivesASingleFailedRenewal) {
  Take();
  for (int i = 0; i < 3; ++i) {
    const auto renewals = fake_.record().renewals;
    fake_.SetHealth(Health::kAway);
    EXPECT_FALSE(renewer_->give_up().WaitFor(kTimeout / 4));
    fake_.SetHealth(Health::kWell);
    ASSERT_TRUE(Eventually([&] { return fake_.record().renewals > renewals; }));
  }
  EXPECT_TRUE(renewer_->IsLeader());
}

TEST_F(LeadershipRenewerTest, TheLeaseExpiresBeforeTheTimeoutIfTheStoreIsUnreachable) {
  Take();
  fake_.SetHealth(Health::kAway);
  ExpectLostWithin(kTimeout * 3 / 2, MonotonicNow());
  EXPECT_THAT(renewer_->why_lost(),
              MatchesRegex("the leader lease was not renewed for 0\\.[3-9] s: the server is away"));
  renewer_->Release();
  EXPECT_EQ(fake_.record().leader, "me") << "a former leader has nothing to hand over";
}

TEST_F(LeadershipRenewerTest, TheLeaseExpiresWhileARenewalHangs) {
  Take();
  fake_.SetHealth(Health::kHanging);
  ExpectLostWithin(kTimeout * 3 / 2, MonotonicNow());
  EXPECT_THAT(renewer_->why_lost(), StartsWith("the leader lease was not renewed for 0."));
}

TEST_F(LeadershipRenewerTest, StepsDownIfAnotherCoordinatorIsTheLeader) {
  Take();
  fake_.SetRecord({.epoch = 2, .leader = "other", .renewals = 0});
  ExpectLostWithin(kTimeout * 3 / 2, MonotonicNow());
  EXPECT_EQ(renewer_->why_lost(), "another coordinator is the leader now");
}

TEST_F(LeadershipRenewerTest, DoesNotRenewForACoordinatorThatHangs) {
  Take();
  hangs_ = true;
  ExpectLostWithin(kTimeout * 3 / 2, MonotonicNow());
  EXPECT_THAT(renewer_->why_lost(), EndsWith(": busy for 300 s"));
}

TEST_F(LeadershipRenewerTest, KeepsTheFirstReason) {
  Take();
  renewer_->Lose("the disk is full");
  renewer_->Lose("something else");
  EXPECT_EQ(renewer_->why_lost(), "the disk is full");
  EXPECT_FALSE(renewer_->IsLeader());
  EXPECT_TRUE(renewer_->give_up().raised());
}

TEST_F(LeadershipRenewerTest, HandsOver) {
  Take();
  renewer_->Release();
  EXPECT_EQ(fake_.record().leader, "");
  EXPECT_EQ(fake_.record().epoch, 1U);
}

TEST_F(LeadershipRenewerTest, AFailedHandOverIsOnlyLogged) {
  Take();
  fake_.SetHealth(Health::kAway);
  renewer_->Release();
  EXPECT_EQ(fake_.record().leader, "me");
}

}  // namespace
}  // namespace dicom_sender
