#include "coordinator/scheduler/quarantine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

class QuarantineTest : public testing::Test {
 protected:
  static TimePoint At(int ms) { return TimePoint(seconds(100)) + milliseconds(ms); }
  bool Fail(int ms, Blame blame = Blame::kCertain) { return quarantine_.Fail("w", kPacs, "no route", blame, At(ms)); }

  const QuarantineSubject kPacs = std::string("PACS:104@pacs");
  const QuarantineSubject kFiles = SessionKey{7};
  Quarantine quarantine_{{.backoff_min = seconds(1), .backoff_max = seconds(4)}};
};

TEST_F(QuarantineTest, AWorkerThatFailsAloneIsQuarantinedForAWhile) {
  EXPECT_FALSE(quarantine_.Keeps("w", kPacs, At(0)));
  Fail(0);
  EXPECT_TRUE(quarantine_.Keeps("w", kPacs, At(999)));
  EXPECT_FALSE(quarantine_.Keeps("w", kPacs, At(1000))) << "it may try again";
  EXPECT_FALSE(quarantine_.Keeps("other", kPacs, At(0)));
  EXPECT_FALSE(quarantine_.Keeps("w", kFiles, At(0)));
}

TEST_F(QuarantineTest, ThePausesDoubleUpToTheLongest) {
  for (const int pause : {1000, 2000, 4000, 4000}) {
    Fail(0);
    EXPECT_TRUE(quarantine_.Keeps("w", kPacs, At(pause - 1)));
    EXPECT_FALSE(quarantine_.Keeps("w", kPacs, At(pause)));
    EXPECT_EQ(quarantine_.NextTry(At(0)), At(pause));
  }
}

TEST_F(QuarantineTest, AQuarantinedWorkerTriesOneLeaseAtATime) {
  Fail(0);
  quarantine_.BeginTry("w", kPacs, 5);
  EXPECT_TRUE(quarantine_.Keeps("w", kPacs, At(2000)));
  EXPECT_EQ(quarantine_.NextTry(At(0)), std::nullopt) << "the lease's end wakes the scheduler";
  quarantine_.EndTry("w", kPacs, 4);
  EXPECT_TRUE(quarantine_.Keeps("w", kPacs, At(2000))) << "that was another lease";
  quarantine_.EndTry("w", kPacs, 5);
  EXPECT_FALSE(quarantine_.Keeps("w", kPacs, At(2000)));
}

TEST_F(QuarantineTest, ASingleFailureIsNotReported) {
  EXPECT_FALSE(Fail(0));
  EXPECT_THAT(quarantine_.Of("w"), IsEmpty());
  EXPECT_TRUE(Fail(1)) << "so that it is logged";
  EXPECT_FALSE(Fail(2)) << "once";
  EXPECT_THAT(quarantine_.Of("w"), ElementsAre(QuarantineView{kPacs, "no route"}));
  EXPECT_EQ(quarantine_.workers(), 1U);
}

TEST_F(QuarantineTest, WithoutAnySuccessItIsOnlyASuspicion) {
  for (int i = 0; i < 6; ++i) Fail(i, Blame::kOpen);
  EXPECT_FALSE(quarantine_.Keeps("w", kPacs, At(6)));
  EXPECT_FALSE(quarantine_.IsHopeless("w", kPacs));
  EXPECT_EQ(quarantine_.workers(), 0U);
  quarantine_.Confirm(kPacs, At(10));
  EXPECT_FALSE(quarantine_.Keeps("w", kPacs, At(10))) << "it may show at once that it is not at fault";
  EXPECT_TRUE(Fail(11, Blame::kOpen));
  EXPECT_TRUE(quarantine_.Keeps("w", kPacs, At(12)));
}

TEST_F(QuarantineTest, SuccessEndsIt) {
  Fail(0);
  EXPECT_FALSE(quarantine_.Succeed("w", kFiles));
  EXPECT_TRUE(quarantine_.Succeed("w", kPacs));
  EXPECT_FALSE(quarantine_.Succeed("w", kPacs));
  EXPECT_TRUE(quarantine_.empty());
}

TEST_F(QuarantineTest, AWorkerThatFailedOftenIsHopelessUntilItSucceeds) {
  for (int i = 0; i < 4; ++i) Fail(i);
  EXPECT_FALSE(quarantine_.IsHopeless("w", kPacs));
  Fail(4);
  EXPECT_TRUE(quarantine_.IsHopeless("w", kPacs));
  quarantine_.Succeed("w", kPacs);
  EXPECT_FALSE(quarantine_.IsHopeless("w", kPacs));
}

TEST_F(QuarantineTest, RemovedWorkersAndDestinationsAreForgotten) {
  Fail(0);
  quarantine_.Fail("v", kPacs, "", Blame::kCertain, At(0));
  quarantine_.Fail("v", kFiles, "", Blame::kCertain, At(0));
  quarantine_.ForgetWorker("w");
  EXPECT_FALSE(quarantine_.Keeps("w", kPacs, At(0)));
  quarantine_.ForgetSubject(kPacs);
  EXPECT_FALSE(quarantine_.Keeps("v", kPacs, At(0)));
  EXPECT_TRUE(quarantine_.Keeps("v", kFiles, At(0)));
}

TEST_F(QuarantineTest, PausesAreShortWhileOtherWorkersHaveNotTried) {
  for (int i = 0; i < 6; ++i) EXPECT_FALSE(Fail(i, Blame::kLikely)) << "the cause is unknown";
  EXPECT_TRUE(quarantine_.Keeps("w", kPacs, At(5 + 999)));
  EXPECT_FALSE(quarantine_.Keeps("w", kPacs, At(5 + 1000)));
  EXPECT_FALSE(quarantine_.IsHopeless("w", kPacs));
  quarantine_.Confirm(kPacs, At(6));
  EXPECT_TRUE(quarantine_.Keeps("w", kPacs, At(7))) << "its pause goes on";
  EXPECT_TRUE(Fail(1100));
  EXPECT_TRUE(quarantine_.IsHopeless("w", kPacs));
}

}  // namespace
}  // namespace dicom_sender
