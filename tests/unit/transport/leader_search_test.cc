#include "transport/leader_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Time = LeaderSearch::Time;

constexpr std::uint64_t kSeed = 1;

MATCHER(IsOfARound, "") { return arg >= LeaderSearch::kRoundAtLeast && arg <= LeaderSearch::kRoundAtMost; }

class LeaderSearchTest : public testing::Test {
 protected:
  explicit LeaderSearchTest(std::size_t endpoints = 3) : search_(endpoints, kSeed, now_) {}

  // Moves as soon as possible and returns the time until then.
  milliseconds Move() {
    const Time begin = now_;
    now_ = std::max(now_, search_.move_at());
    search_.Moved(now_);
    return std::chrono::duration_cast<milliseconds>(now_ - begin);
  }
  void Lead() {
    search_.Connected();
    search_.Asked(now_);
    search_.Answered(now_);
  }
  void StandBy() {
    search_.Connected();
    search_.Asked(now_);
    search_.NotLeading(now_);
  }

  Time now_{seconds(1000)};
  LeaderSearch search_;
};

class OneEndpointTest : public LeaderSearchTest {
 protected:
  OneEndpointTest() : LeaderSearchTest(1) {}
};

TEST_F(LeaderSearchTest, StaysWithALeader) {
  Lead();
  EXPECT_EQ(search_.move_at(), Time::max());
  now_ += seconds(3600);
  search_.Asked(now_);
  search_.Answered(now_);
  EXPECT_EQ(search_.move_at(), Time::max());
  EXPECT_FALSE(search_.saw_stand_by());
}

TEST_F(LeaderSearchTest, TriesOthersAtOnceAndBacksOffWithoutALeader) {
  StandBy();
  EXPECT_EQ(Move(), milliseconds(0));
  StandBy();
  EXPECT_EQ(Move(), milliseconds(0));
  StandBy();
  EXPECT_THAT(Move(), IsOfARound()) << "all were asked";
  StandBy();
  EXPECT_EQ(Move(), milliseconds(0)) << "the next round";
  EXPECT_TRUE(search_.saw_stand_by());
  Lead();
  EXPECT_FALSE(search_.saw_stand_by());
}

TEST_F(LeaderSearchTest, LeavesADisconnectedLeaderAtOnce) {
  Lead();
  now_ += seconds(10);
  search_.Lost(now_);
  EXPECT_EQ(Move(), milliseconds(0));
  StandBy();
  EXPECT_EQ(Move(), milliseconds(0));
}

TEST_F(LeaderSearchTest, RefusedConnectionsDoNotSpeedItUp) {
  milliseconds in_all(0);
  for (int i = 0; i < 30; ++i) {
    search_.Lost(now_);
    in_all += Move();
  }
  EXPECT_GE(in_all, 10 * LeaderSearch::kRoundAtLeast);
  EXPECT_LE(in_all, 10 * LeaderSearch::kRoundAtMost);
}

TEST_F(LeaderSearchTest, ClientsThatLoseALeaderDoNotSearchInLockstep) {
  std::set<Time> next_rounds;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    LeaderSearch search(2, seed, now_);
    search.Answered(now_);
    for (int i = 0; i < 3; ++i) {
      search.Lost(now_);
      search.Moved(search.move_at());
    }
    search.Lost(now_);
    next_rounds.insert(search.move_at());
  }
  EXPECT_GT(next_rounds.size(), 80U);
}

TEST_F(LeaderSearchTest, WaitsOnlyBrieflyForAConnection) {
  EXPECT_EQ(Move(), LeaderSearch::kConnectWithin);
  EXPECT_EQ(Move(), LeaderSearch::kConnectWithin);
  StandBy();
  EXPECT_EQ(Move(), milliseconds(0)) << "the round has taken its time";
}

// In a group of three, one is a standby and two do not answer, one of them because of a slow connection.
TEST_F(LeaderSearchTest, WaitsLongerForAConnectionTheLongerItSearches) {
  Move();
  const Time begin = now_;
  milliseconds longest(0);
  for (int i = 0; i < 100; ++i) {
    const milliseconds searched = std::chrono::duration_cast<milliseconds>(now_ - begin);
    const milliseconds waited = Move();
    EXPECT_GE(waited, longest);
    EXPECT_LE(waited, std::max<milliseconds>(searched / 4, LeaderSearch::kConnectWithin)) << "a late leader waits";
    longest = waited;
    StandBy();
    Move();
  }
  EXPECT_EQ(longest, LeaderSearch::kConnectWithinMax);
  Lead();
  search_.Lost(now_);
  Move();
  EXPECT_EQ(Move(), LeaderSearch::kConnectWithin) << "a leader has answered";
}

TEST_F(LeaderSearchTest, AnIdleConnectionMayBeSilent) {
  search_.Connected();
  EXPECT_EQ(search_.move_at(), Time::max());
}

TEST_F(LeaderSearchTest, LeavesASilentEndpointAndWaitsLongerEachTime) {
  for (const int patience : {5, 10, 20, 40, 60, 60}) {
    search_.Connected();
    search_.Asked(now_);
    now_ += seconds(1);
    search_.Asked(now_);  // only the first request counts
    EXPECT_EQ(Move(), seconds(patience - 1));
    StandBy();
    Move();
  }
  Lead();
  search_.Asked(now_);
  EXPECT_EQ(Move(), LeaderSearch::kAnswerWithin) << "a leader has answered";
}

TEST_F(LeaderSearchTest, ResetsItsStateForANewEndpoint) {
  search_.Connected();
  search_.Asked(now_);
  Move();
  EXPECT_EQ(search_.move_at(), now_ + LeaderSearch::kConnectWithin) << "not connected, nothing asked";
}

TEST_F(OneEndpointTest, NeverMovesToAnotherEndpoint) {
  EXPECT_EQ(search_.move_at(), Time::max()) << "no connection";
  search_.Connected();
  search_.Asked(now_);
  EXPECT_EQ(search_.move_at(), Time::max()) << "no answer";
  search_.Lost(now_);
  EXPECT_EQ(search_.move_at(), Time::max()) << "no connection any more";
}

TEST_F(OneEndpointTest, ReconnectsToAStandbyOccasionally) {
  StandBy();
  EXPECT_THAT(Move(), IsOfARound());
  StandBy();
  EXPECT_THAT(Move(), IsOfARound());
}

}  // namespace
}  // namespace dicom_sender
