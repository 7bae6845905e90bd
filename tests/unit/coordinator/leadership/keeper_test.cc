#include "programs/coordinator/keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/coordinator/leadership/shared_store.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using testing::EndsWith;
using testing::MatchesRegex;
using testing::StartsWith;
using Health = SharedStore::Health;

constexpr milliseconds kTimeout(400);

class KeeperTest : public testing::Test {
 protected:
  void Take() {
    Mandate mandate;
    mandate.taken_at = MonotonicNow();
    mandate.give_up = std::make_unique<WakeEvent>();
    mandate.leadership = *opener_.open_leadership(mandate.give_up.get());
    mandate.record = *mandate.leadership->Take(store_.record(), "me");
    keeper_ = std::make_unique<Keeper>(std::move(mandate), kTimeout, [this] { return Wrong(); });
  }
  std::optional<std::string> Wrong() const {
    if (hangs_) return "busy for 300 s";
    return std::nullopt;
  }
  void ExpectLostWithin(Duration most, const TimePoint& begin) {
    EXPECT_TRUE(keeper_->give_up().WaitFor(kPatience));
    EXPECT_FALSE(keeper_->Leads());
    EXPECT_TRUE(Eventually([this] { return keeper_->lost().stop_requested(); }));
    EXPECT_LT(MonotonicNow() - begin, most);
  }

  SharedStore store_;
  const LedgerStore opener_ = store_.Store();
  std::atomic<bool> hangs_ = false;
  std::unique_ptr<Keeper> keeper_;
};

TEST_F(KeeperTest, RenewsWithoutEnd) {
  Take();
  EXPECT_FALSE(keeper_->give_up().WaitFor(5 * kTimeout));
  EXPECT_TRUE(keeper_->Leads());
  EXPECT_EQ(keeper_->epoch(), 1U);
  EXPECT_EQ(keeper_->why_lost(), "");
  EXPECT_GE(store_.record().renewals, 5U);
}

TEST_F(KeeperTest, OneRenewalThatFailsDoesNoHarm) {
  Take();
  for (int i = 0; i < 3; ++i) {
    const auto renewals = store_.record().renewals;
    store_.SetHealth(Health::kAway);
    EXPECT_FALSE(keeper_->give_up().WaitFor(kTimeout / 4));
    store_.SetHealth(Health::kWell);
    ASSERT_TRUE(Eventually([&] { return store_.record().renewals > renewals; }));
  }
  EXPECT_TRUE(keeper_->Leads());
}

TEST_F(KeeperTest, TheTenureEndsBeforeTheTimeOutIfTheStoreIsAway) {
  Take();
  store_.SetHealth(Health::kAway);
  ExpectLostWithin(kTimeout * 3 / 2, MonotonicNow());
  EXPECT_THAT(keeper_->why_lost(),
              MatchesRegex("the leadership was not renewed for 0\\.[3-9] s: the server is away"));
  keeper_->Release();
  EXPECT_EQ(store_.record().leader, "me") << "who does not lead hands nothing over";
}

TEST_F(KeeperTest, TheTenureEndsWhileARenewalHangs) {
  Take();
  store_.SetHealth(Health::kHanging);
  ExpectLostWithin(kTimeout * 3 / 2, MonotonicNow());
  EXPECT_THAT(keeper_->why_lost(), StartsWith("the leadership was not renewed for 0."));
}

TEST_F(KeeperTest, StepsDownForWhoLeadsNow) {
  Take();
  store_.SetRecord({.epoch = 2, .leader = "other", .renewals = 0});
  ExpectLostWithin(kTimeout * 3 / 2, MonotonicNow());
  EXPECT_EQ(keeper_->why_lost(), "another coordinator leads now");
}

TEST_F(KeeperTest, KeepsNothingForACoordinatorThatHangs) {
  Take();
  hangs_ = true;
  ExpectLostWithin(kTimeout * 3 / 2, MonotonicNow());
  EXPECT_THAT(keeper_->why_lost(), EndsWith(": busy for 300 s"));
}

TEST_F(KeeperTest, TheFirstReasonCounts) {
  Take();
  keeper_->Lose("the disk is full");
  keeper_->Lose("something else");
  EXPECT_EQ(keeper_->why_lost(), "the disk is full");
  EXPECT_FALSE(keeper_->Leads());
  EXPECT_TRUE(keeper_->give_up().raised());
}

TEST_F(KeeperTest, HandsOver) {
  Take();
  keeper_->Release();
  EXPECT_EQ(store_.record().leader, "");
  EXPECT_EQ(store_.record().epoch, 1U);
}

TEST_F(KeeperTest, AHandOverThatFailsIsOnlyLogged) {
  Take();
  store_.SetHealth(Health::kAway);
  keeper_->Release();
  EXPECT_EQ(store_.record().leader, "me");
}

}  // namespace
}  // namespace dicom_sender
