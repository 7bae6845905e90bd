#include "programs/coordinator/candidate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/coordinator/leadership/shared_store.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using Health = SharedStore::Health;
using Decision = std::optional<tl::expected<Mandate, std::string>>;

constexpr milliseconds kTimeout(200);

class CandidateTest : public testing::Test {
 protected:
  // It has started.
  std::unique_ptr<Candidate> Make(bool strict = true) {
    auto candidate = std::make_unique<Candidate>(opener_, "me", kTimeout, strict);
    candidate->Start();
    return candidate;
  }
  static Decision Wait(Candidate& candidate) {
    Decision decision;
    EXPECT_TRUE(Eventually([&] {
      decision = candidate.Decision();
      return decision.has_value();
    }));
    return decision;
  }

  SharedStore store_;
  const LedgerStore opener_ = store_.Store();
};

TEST_F(CandidateTest, TakesWhatNobodyHasLedAndWhatWasHandedOver) {
  for (const LeaderRecord& record : {LeaderRecord{}, LeaderRecord{.epoch = 7, .leader = "", .renewals = 3}}) {
    store_.SetRecord(record);
    const auto candidate = Make();
    const auto decision = Wait(*candidate);
    ASSERT_TRUE(decision && *decision);
    EXPECT_EQ((*decision)->record, (LeaderRecord{.epoch = record.epoch + 1, .leader = "me", .renewals = 0}));
  }
}

TEST_F(CandidateTest, TakesOverFromWhoIsSilentForTheTimeOut) {
  store_.SetRecord({.epoch = 3, .leader = "other", .renewals = 9});
  const TimePoint begin = MonotonicNow();
  const auto candidate = Make();
  const auto decision = Wait(*candidate);
  ASSERT_TRUE(decision && *decision);
  EXPECT_EQ((*decision)->record.epoch, 4U);
  EXPECT_GE(MonotonicNow() - begin, kTimeout);
  EXPECT_GE((*decision)->taken_at, begin + kTimeout) << "the tenure counts from when it was asked for";
}

TEST_F(CandidateTest, LeavesALeaderThatIsHeardOfInPeace) {
  store_.SetRecord({.epoch = 3, .leader = "other", .renewals = 0});
  const auto candidate = Make();
  const WakeEvent never;
  for (const TimePoint end = MonotonicNow() + 5 * kTimeout; MonotonicNow() < end;) {
    store_.Renew();
    never.WaitFor(kTimeout / 20);
    ASSERT_FALSE(candidate->Decision());
  }
  ASSERT_TRUE(candidate->view().record);
  EXPECT_EQ(candidate->view().record->leader, "other");
}

TEST_F(CandidateTest, ARenewalIsNoNews) {
  store_.SetRecord({.epoch = 3, .leader = "other", .renewals = 0});
  const auto candidate = Make();
  ASSERT_TRUE(candidate->news().WaitFor(kPatience));
  candidate->news().Clear();
  store_.Renew();
  ASSERT_TRUE(Eventually([&] { return candidate->view().record->renewals == 1; }));
  EXPECT_FALSE(candidate->news().raised());
}

TEST_F(CandidateTest, WhatAPersonMustMendIsAnErrorAtTheStart) {
  store_.SetTrouble(LedgerTrouble{.sentence = "wrong password", .passing = false});
  const auto candidate = Make();
  const auto decision = Wait(*candidate);
  ASSERT_TRUE(decision);
  ASSERT_FALSE(*decision);
  EXPECT_EQ(decision->error(), "wrong password");
}

TEST_F(CandidateTest, WhatPassesAndWhatComesLaterIsTriedAgain) {
  for (const bool strict : {true, false}) {
    store_.SetRecord({});
    store_.SetTrouble(LedgerTrouble{.sentence = "it is starting", .passing = strict});
    const auto candidate = Make(strict);
    ASSERT_TRUE(Eventually([&] { return !candidate->view().trouble.empty(); }));
    EXPECT_EQ(candidate->view().trouble, "it is starting");
    EXPECT_FALSE(candidate->Decision());
    store_.SetTrouble(std::nullopt);
    const auto decision = Wait(*candidate);
    EXPECT_TRUE(decision && *decision) << strict;
  }
}

TEST_F(CandidateTest, TakesOverWhenTheStoreIsBack) {
  store_.SetRecord({.epoch = 3, .leader = "other", .renewals = 0});
  const auto candidate = Make();
  ASSERT_TRUE(Eventually([&] { return candidate->view().record.has_value(); }));
  store_.SetHealth(Health::kAway);
  ASSERT_TRUE(Eventually([&] { return !candidate->view().trouble.empty(); }));
  EXPECT_FALSE(candidate->view().record) << "who leads is not known any more";
  store_.SetHealth(Health::kWell);
  const auto decision = Wait(*candidate);
  ASSERT_TRUE(decision && *decision);
  EXPECT_EQ((*decision)->record.epoch, 4U);
}

TEST_F(CandidateTest, TheLongerTimeOutCounts) {
  store_.SetRecord({.epoch = 3, .leader = "other", .renewals = 9, .leader_timeout = 4 * kTimeout});
  const TimePoint begin = MonotonicNow();
  const auto candidate = Make();
  const auto decision = Wait(*candidate);
  ASSERT_TRUE(decision && *decision);
  EXPECT_GE(MonotonicNow() - begin, 4 * kTimeout);
}

TEST_F(CandidateTest, HandsOverWhatItTakesWhileItEnds) {
  store_.SetTakingHangs(true);
  auto candidate = Make();
  ASSERT_TRUE(Eventually([this] { return store_.waiting() > 0; }));
  std::thread end([&] { candidate.reset(); });
  store_.SetTakingHangs(false);
  end.join();
  EXPECT_EQ(store_.record(), (LeaderRecord{.epoch = 1, .leader = "", .renewals = 0}));
}

TEST_F(CandidateTest, HandsOverWhatNobodyHasAskedFor) {
  auto candidate = Make();
  ASSERT_TRUE(Eventually([&] { return candidate->news().raised(); }));
  candidate.reset();
  EXPECT_EQ(store_.record(), (LeaderRecord{.epoch = 1, .leader = "", .renewals = 0}));
}

TEST_F(CandidateTest, EndsThoughATakingHangs) {
  store_.SetTakingHangs(true);
  auto candidate = Make();
  ASSERT_TRUE(Eventually([this] { return store_.waiting() > 0; }));
  candidate.reset();
  EXPECT_EQ(store_.record().epoch, 0U);
}

TEST_F(CandidateTest, EndsThoughTheStoreHangs) {
  store_.SetHealth(Health::kHanging);
  const auto candidate = Make();
  EXPECT_FALSE(candidate->news().WaitFor(milliseconds(50)));
}

}  // namespace
}  // namespace dicom_sender
