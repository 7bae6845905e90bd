#include "coordinator/leadership/leader_lease.h"

#include <gtest/gtest.h>

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kTimeout = seconds(8);
constexpr TimePoint kStart{std::chrono::hours(1)};

LeaderRecord Record(std::uint64_t epoch, std::uint64_t renewals, std::string leader = "a") {
  return {.epoch = epoch, .leader = std::move(leader), .renewals = renewals};
}

class LeaderWatchTest : public testing::Test {
 protected:
  bool MayTakeOver(const LeaderRecord& record, Duration after) { return watch_.MayTakeOver(record, kStart + after); }

  LeaderWatch watch_{kTimeout};
};

TEST_F(LeaderWatchTest, TakesOverAtOnceIfNoLeaderEverExisted) { EXPECT_TRUE(MayTakeOver({}, seconds(0))); }

TEST_F(LeaderWatchTest, TakesOverAtOnceIfTheLeaderHandedOver) {
  EXPECT_FALSE(MayTakeOver(Record(3, 7), seconds(0)));
  EXPECT_TRUE(MayTakeOver(Record(3, 7, ""), seconds(1)));
}

TEST_F(LeaderWatchTest, WaitsForTheTimeoutAfterFirstReadingTheRecord) {
  // The age of the record at that moment is unknown.
  EXPECT_FALSE(MayTakeOver(Record(3, 7), seconds(0)));
  EXPECT_FALSE(MayTakeOver(Record(3, 7), seconds(5)));
  EXPECT_FALSE(MayTakeOver(Record(3, 7), kTimeout - Duration(1)));
  EXPECT_TRUE(MayTakeOver(Record(3, 7), kTimeout));
}

TEST_F(LeaderWatchTest, ARenewalRestartsTheWait) {
  EXPECT_FALSE(MayTakeOver(Record(3, 7), seconds(0)));
  EXPECT_FALSE(MayTakeOver(Record(3, 8), seconds(7)));
  EXPECT_FALSE(MayTakeOver(Record(3, 8), seconds(7) + kTimeout - Duration(1)));
  EXPECT_TRUE(MayTakeOver(Record(3, 8), seconds(7) + kTimeout));
}

TEST_F(LeaderWatchTest, TheLongerTimeoutApplies) {
  for (const Duration others : {kTimeout / 4, kTimeout * 2}) {
    LeaderWatch watch(kTimeout);
    LeaderRecord record = Record(3, 7);
    record.leader_timeout = others;
    const Duration longer = std::max(kTimeout, others);
    EXPECT_FALSE(watch.MayTakeOver(record, kStart));
    EXPECT_FALSE(watch.MayTakeOver(record, kStart + longer - Duration(1)));
    EXPECT_TRUE(watch.MayTakeOver(record, kStart + longer));
  }
}

TEST_F(LeaderWatchTest, ARenewalSeenAfterALongPauseRestartsTheWait) {
  EXPECT_FALSE(MayTakeOver(Record(3, 7), seconds(0)));
  EXPECT_FALSE(MayTakeOver(Record(3, 8), seconds(100)));
}

TEST_F(LeaderWatchTest, AnotherLeaderRestartsTheWait) {
  EXPECT_FALSE(MayTakeOver(Record(3, 7, "a"), seconds(0)));
  EXPECT_FALSE(MayTakeOver(Record(4, 7, "a"), seconds(8)));  // the number of renewals is the same, and so is the name
  EXPECT_FALSE(MayTakeOver(Record(5, 7, "b"), seconds(15)));
  EXPECT_TRUE(MayTakeOver(Record(5, 7, "b"), seconds(23)));
}

TEST(LeaderLease, ExpiresBeforeTheTimeoutCountedFromTheRequest) {
  const LeaderLease lease(kTimeout, kStart);
  EXPECT_EQ(lease.expires_at(), kStart + seconds(7));
  EXPECT_TRUE(lease.IsValid(kStart + seconds(7) - Duration(1)));
  EXPECT_FALSE(lease.IsValid(kStart + seconds(7)));
}

TEST(LeaderLease, HasExpiredAfterAPausedTakeover) {
  EXPECT_FALSE(LeaderLease(kTimeout, kStart).IsValid(kStart + seconds(20)));
}

TEST(LeaderLease, ARenewalCountsFromTheTimeItWasSent) {
  LeaderLease lease(kTimeout, kStart);
  lease.Renewed(kStart + seconds(4));
  EXPECT_EQ(lease.expires_at(), kStart + seconds(11));
  EXPECT_EQ(lease.renew_at(), kStart + seconds(6));
}

TEST(LeaderLease, SeveralRenewalsMayFail) {
  const LeaderLease lease(kTimeout, kStart);
  EXPECT_EQ(lease.renew_at(), kStart + seconds(2));
  const auto renewals = (lease.expires_at() - lease.renew_at()) / (lease.renew_at() - kStart);
  EXPECT_GE(renewals, 2);
}

// Tests both rules together, with clocks that have different starts and whose speeds differ as much as the safety
// margin of an eighth allows. The leader must stop first, whenever the standby last looked.
TEST(LeaderLease, HasExpiredWhenAStandbyTakesOver) {
  for (Duration renewed{}; renewed < kTimeout; renewed += milliseconds(500)) {
    for (Duration seen = renewed; seen < kTimeout * 2; seen += milliseconds(300)) {
      LeaderLease lease(kTimeout, kStart);
      lease.Renewed(kStart + renewed);
      LeaderWatch watch(kTimeout);
      const TimePoint other{std::chrono::hours(500)};
      const auto on_fast_clock = [&](Duration elapsed) { return other + elapsed * 8 / 7; };
      ASSERT_FALSE(watch.MayTakeOver(Record(3, 1), on_fast_clock(seen)));
      Duration taken = seen;
      while (!watch.MayTakeOver(Record(3, 1), on_fast_clock(taken))) taken += milliseconds(1);
      EXPECT_FALSE(lease.IsValid(kStart + taken)) << "renewed after " << renewed.count() << " ns";
    }
  }
}

}  // namespace
}  // namespace dicom_sender
