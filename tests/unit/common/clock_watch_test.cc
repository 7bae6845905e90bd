#include "common/clock_watch.h"

#include <gtest/gtest.h>

namespace dicom_sender {
namespace {

using namespace std::chrono_literals;

class ClockWatchTest : public testing::Test {
 protected:
  // The wall clock advances by `wall` while the monotonic clock advances by `monotonic`.
  std::optional<Duration> After(Duration monotonic, std::chrono::milliseconds wall) {
    now_ += monotonic;
    wall_ += wall;
    return watch_.SetBackBy(now_, wall_);
  }

  TimePoint now_{100s};
  WallTime wall_{1'700'000'000s};
  ClockWatch watch_;
};

TEST_F(ClockWatchTest, ReportsOnceByHowMuchTheClockWasSetBack) {
  EXPECT_EQ(After(1s, 1s), std::nullopt) << "the first check";
  EXPECT_EQ(After(1s, 1s), std::nullopt);
  EXPECT_EQ(After(1s, 1s - 1h), 1h);
  EXPECT_EQ(After(1s, 1s), std::nullopt) << "it is reported once";
  EXPECT_EQ(After(1s, -2s), 3s) << "and again after the next change";
}

TEST_F(ClockWatchTest, IgnoresSmallCorrectionsAndForwardJumps) {
  After(1s, 1s);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(After(1s, 500ms), std::nullopt) << "a clock that is slowed down";
  EXPECT_EQ(After(1s, 1h), std::nullopt);
  EXPECT_EQ(After(1s, 1s), std::nullopt);
  EXPECT_EQ(After(1h, 1h), std::nullopt) << "a process that was stopped";
}

}  // namespace
}  // namespace dicom_sender
