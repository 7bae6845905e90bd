// When a stand-by may take over, and how long a leader may believe that it leads.
#include "coordinator/leadership/succession.h"

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
  bool MayTake(const LeaderRecord& record, Duration after) { return watch_.MayTake(record, kStart + after); }

  LeaderWatch watch_{kTimeout};
};

TEST_F(LeaderWatchTest, TakesAtOnceIfNobodyEverLed) { EXPECT_TRUE(MayTake({}, seconds(0))); }

TEST_F(LeaderWatchTest, TakesAtOnceIfTheLeaderHasHandedOver) {
  EXPECT_FALSE(MayTake(Record(3, 7), seconds(0)));
  EXPECT_TRUE(MayTake(Record(3, 7, ""), seconds(1)));
}

TEST_F(LeaderWatchTest, WaitsForTheTimeOutFromWhenItFirstSawTheRecord) {
  // How old the record was then, it cannot know.
  EXPECT_FALSE(MayTake(Record(3, 7), seconds(0)));
  EXPECT_FALSE(MayTake(Record(3, 7), seconds(5)));
  EXPECT_FALSE(MayTake(Record(3, 7), kTimeout - Duration(1)));
  EXPECT_TRUE(MayTake(Record(3, 7), kTimeout));
}

TEST_F(LeaderWatchTest, ARenewalBeginsTheWaitAnew) {
  EXPECT_FALSE(MayTake(Record(3, 7), seconds(0)));
  EXPECT_FALSE(MayTake(Record(3, 8), seconds(7)));
  EXPECT_FALSE(MayTake(Record(3, 8), seconds(7) + kTimeout - Duration(1)));
  EXPECT_TRUE(MayTake(Record(3, 8), seconds(7) + kTimeout));
}

TEST_F(LeaderWatchTest, TheLongerTimeOutCounts) {
  for (const Duration others : {kTimeout / 4, kTimeout * 2}) {
    LeaderWatch watch(kTimeout);
    LeaderRecord record = Record(3, 7);
    record.leader_timeout = others;
    const Duration longer = std::max(kTimeout, others);
    EXPECT_FALSE(watch.MayTake(record, kStart));
    EXPECT_FALSE(watch.MayTake(record, kStart + longer - Duration(1)));
    EXPECT_TRUE(watch.MayTake(record, kStart + longer));
  }
}

TEST_F(LeaderWatchTest, ARenewalThatIsSeenAfterALongPauseBeginsTheWaitAnew) {
  EXPECT_FALSE(MayTake(Record(3, 7), seconds(0)));
  EXPECT_FALSE(MayTake(Record(3, 8), seconds(100)));
}

TEST_F(LeaderWatchTest, AnotherLeaderBeginsTheWaitAnew) {
  EXPECT_FALSE(MayTake(Record(3, 7, "a"), seconds(0)));
  EXPECT_FALSE(MayTake(Record(4, 7, "a"), seconds(8)));  // as many renewals, the same name
  EXPECT_FALSE(MayTake(Record(5, 7, "b"), seconds(15)));
  EXPECT_TRUE(MayTake(Record(5, 7, "b"), seconds(23)));
}

TEST(Tenure, EndsBeforeTheTimeOutCountedFromWhenItAsked) {
  const Tenure tenure(kTimeout, kStart);
  EXPECT_EQ(tenure.ends_at(), kStart + seconds(7));
  EXPECT_TRUE(tenure.Leads(kStart + seconds(7) - Duration(1)));
  EXPECT_FALSE(tenure.Leads(kStart + seconds(7)));
}

TEST(Tenure, OfAPausedTakeoverIsOverBeforeItIsKnown) {
  EXPECT_FALSE(Tenure(kTimeout, kStart).Leads(kStart + seconds(20)));
}

TEST(Tenure, ARenewalCountsFromWhenItWasSent) {
  Tenure tenure(kTimeout, kStart);
  tenure.Renewed(kStart + seconds(4));
  EXPECT_EQ(tenure.ends_at(), kStart + seconds(11));
  EXPECT_EQ(tenure.renew_at(), kStart + seconds(6));
}

TEST(Tenure, SeveralRenewalsMayFail) {
  const Tenure tenure(kTimeout, kStart);
  EXPECT_EQ(tenure.renew_at(), kStart + seconds(2));
  const auto renewals = (tenure.ends_at() - tenure.renew_at()) / (tenure.renew_at() - kStart);
  EXPECT_GE(renewals, 2);
}

// Both together, on clocks that begin at different times and run as unequally as the eighth allows for: whenever the
// stand-by looked last, the leader has stopped first.
TEST(Succession, TheLeaderHasStoppedWhenAnotherOneTakesOver) {
  for (Duration renewed{}; renewed < kTimeout; renewed += milliseconds(500)) {
    for (Duration seen = renewed; seen < kTimeout * 2; seen += milliseconds(300)) {
      Tenure tenure(kTimeout, kStart);
      tenure.Renewed(kStart + renewed);
      LeaderWatch watch(kTimeout);
      const TimePoint other{std::chrono::hours(500)};
      const auto on_fast_clock = [&](Duration elapsed) { return other + elapsed * 8 / 7; };
      ASSERT_FALSE(watch.MayTake(Record(3, 1), on_fast_clock(seen)));
      Duration taken = seen;
      while (!watch.MayTake(Record(3, 1), on_fast_clock(taken))) taken += milliseconds(1);
      EXPECT_FALSE(tenure.Leads(kStart + taken)) << "renewed after " << renewed.count() << " ns";
    }
  }
}

}  // namespace
}  // namespace dicom_sender
