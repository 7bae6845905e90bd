#include "coordinator/scheduler/circuit_breaker.h"

#include <gtest/gtest.h>

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class CircuitBreakerTest : public testing::Test {
 protected:
  static constexpr TimePoint kStart{seconds(100)};
  static constexpr LeaseId kProbe = 7;

  bool Fail(TimePoint now, TroubleKind trouble = TroubleKind::kSilent) {
    return breaker_.OnFailure(trouble, now, random_);
  }
  // Fails once more after the pause and returns the length of the next pause.
  Duration NextPause(TroubleKind trouble) {
    const TimePoint now = breaker_.retry_at().value_or(kStart);
    EXPECT_TRUE(Fail(now, trouble));
    return *breaker_.retry_at() - now;
  }

  std::mt19937_64 random_{1};
  CircuitBreaker breaker_{{.backoff_min = seconds(2), .backoff_max = seconds(60)}};
};

TEST_F(CircuitBreakerTest, IsClosedUntilTheDestinationFails) {
  EXPECT_TRUE(breaker_.IsClosed());
  EXPECT_FALSE(breaker_.unreachable_since());
  EXPECT_TRUE(Fail(kStart));
  EXPECT_FALSE(breaker_.IsClosed());
  EXPECT_TRUE(breaker_.IsOpen());
  EXPECT_EQ(breaker_.unreachable_since(), kStart);
}

TEST_F(CircuitBreakerTest, MayProbeOnlyAfterThePause) {
  Fail(kStart);
  const TimePoint retry_at = *breaker_.retry_at();
  EXPECT_GE(retry_at, kStart + seconds(1)) << "half of the shortest pause is fixed";
  EXPECT_FALSE(breaker_.MayProbe(retry_at - milliseconds(1)));
  EXPECT_TRUE(breaker_.MayProbe(retry_at));
}

TEST_F(CircuitBreakerTest, OneLeaseProbesAtATime) {
  Fail(kStart);
  breaker_.BeginLease(kProbe);
  EXPECT_EQ(breaker_.probe(), kProbe);
  EXPECT_FALSE(breaker_.MayProbe(kStart + seconds(100)));
  EXPECT_FALSE(breaker_.retry_at());
}

TEST_F(CircuitBreakerTest, ALeaseIsNotAProbeWhileItIsClosed) {
  breaker_.BeginLease(kProbe);
  EXPECT_TRUE(breaker_.IsClosed());
  EXPECT_FALSE(breaker_.probe());
}

TEST_F(CircuitBreakerTest, AfterAProbeWithoutAnAnswerTheNextLeaseProbesAtOnce) {
  Fail(kStart);
  const TimePoint retry_at = *breaker_.retry_at();
  breaker_.BeginLease(kProbe);
  breaker_.EndLease(kProbe + 1);
  EXPECT_TRUE(breaker_.IsProbing()) << "another lease ended";
  breaker_.EndLease(kProbe);
  EXPECT_TRUE(breaker_.MayProbe(retry_at));
}

TEST_F(CircuitBreakerTest, AnAnswerClosesIt) {
  Fail(kStart, TroubleKind::kRejects);
  breaker_.BeginLease(kProbe);
  breaker_.OnAnswer();
  EXPECT_TRUE(breaker_.IsClosed());
  EXPECT_FALSE(breaker_.unreachable_since());
  EXPECT_EQ(breaker_.trouble(), TroubleKind::kSilent);
}

TEST_F(CircuitBreakerTest, ConcurrentFailuresCountOnce) {
  Fail(kStart);
  const auto retry_at = breaker_.retry_at();
  EXPECT_FALSE(Fail(kStart));
  EXPECT_EQ(breaker_.retry_at(), retry_at);
}

TEST_F(CircuitBreakerTest, OtherFailuresDoNotCountDuringAProbe) {
  Fail(kStart);
  breaker_.BeginLease(kProbe);
  EXPECT_FALSE(Fail(kStart + seconds(100), TroubleKind::kRejects));
  EXPECT_TRUE(breaker_.IsProbing());
  EXPECT_EQ(breaker_.trouble(), TroubleKind::kRejects) << "the kind of failure is known nevertheless";
}

TEST_F(CircuitBreakerTest, AnOutageBeginsWithItsFirstFailure) {
  Fail(kStart);
  EXPECT_TRUE(Fail(*breaker_.retry_at()));
  EXPECT_EQ(breaker_.unreachable_since(), kStart);
}

// The pauses are random up to a bound, so the longest of many pauses is close to it.
struct LongestPauseCase {
  TroubleKind trouble;
  Duration longest;  // beyond the fixed part of a pause, which is half of the shortest one
};
class LongestPauseTest : public CircuitBreakerTest, public testing::WithParamInterface<LongestPauseCase> {};

TEST_P(LongestPauseTest, BoundsThePauses) {
  Duration longest{};
  for (int i = 0; i < 200; ++i) {
    const Duration pause = NextPause(GetParam().trouble) - seconds(1);
    EXPECT_LE(pause, GetParam().longest);
    longest = std::max(longest, pause);
  }
  EXPECT_GE(longest, GetParam().longest * 9 / 10);
}
INSTANTIATE_TEST_SUITE_P(EachTrouble, LongestPauseTest,
                         testing::Values(LongestPauseCase{TroubleKind::kSilent, seconds(60)},
                                         LongestPauseCase{TroubleKind::kRejects, seconds(8)},
                                         LongestPauseCase{TroubleKind::kTakesEcho, seconds(2)}));

TEST_F(CircuitBreakerTest, ThePausesGrowWithEachFailureInARow) {
  Duration bound = seconds(2);
  for (int i = 0; i < 5; ++i, bound *= 2) EXPECT_LE(NextPause(TroubleKind::kSilent), seconds(1) + bound);
  breaker_.OnAnswer();
  EXPECT_LE(NextPause(TroubleKind::kSilent), seconds(3)) << "an answer resets them";
}

TEST_F(CircuitBreakerTest, AnEchoEndsAnOutage) {
  Fail(kStart);
  breaker_.OnEcho();
  EXPECT_TRUE(breaker_.IsClosed());
  EXPECT_FALSE(breaker_.unreachable_since());
}

TEST_F(CircuitBreakerTest, AnEchoDoesNotCloseItForADestinationThatRejectsStudies) {
  breaker_.Suspect(kStart);
  EXPECT_TRUE(breaker_.IsClosed()) << "it is still sent to";
  breaker_.OnEcho();
  EXPECT_EQ(breaker_.unreachable_since(), kStart);
  EXPECT_EQ(breaker_.trouble(), TroubleKind::kTakesEcho);
  breaker_.Suspect(kStart + seconds(1));
  EXPECT_EQ(breaker_.unreachable_since(), kStart);
  EXPECT_TRUE(Fail(kStart + seconds(2), TroubleKind::kTakesEcho));
  breaker_.OnEcho();
  EXPECT_TRUE(breaker_.IsOpen());
  breaker_.OnAnswer();
  EXPECT_FALSE(breaker_.unreachable_since());
}

}  // namespace
}  // namespace dicom_sender
