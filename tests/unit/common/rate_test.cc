#include "common/rate.h"

#include <gtest/gtest.h>

namespace dicom_sender {
namespace {

using namespace std::chrono_literals;

TEST(RateMeter, HasNoRateAtFirst) {
  RateMeter meter;
  EXPECT_FALSE(meter.Get());
  meter.Add(TimePoint(10s), 100, 1000);
  EXPECT_FALSE(meter.Get());
  meter.Add(TimePoint(10400ms), 200, 2000);
  EXPECT_FALSE(meter.Get());
  meter.Add(TimePoint(11s), 300, 4000);
  EXPECT_NEAR(meter.Get()->instances_per_second, 200, 1e-6) << "the initial count is ignored";
  EXPECT_NEAR(meter.Get()->bytes_per_second, 3000, 1e-6);
}

TEST(RateMeter, FollowsTheLastSeconds) {
  RateMeter meter;
  std::uint64_t done = 0;
  TimePoint now(0s);
  for (int i = 0; i < 600; ++i) meter.Add(now += 100ms, done += 10, 0);
  EXPECT_NEAR(meter.Get()->instances_per_second, 100, 1e-6);
  for (int i = 0; i < 160; ++i) meter.Add(now += 100ms, done += 1, 0);
  EXPECT_NEAR(meter.Get()->instances_per_second, 10, 1e-6) << "16 s at a new pace";
  for (int i = 0; i < 160; ++i) meter.Add(now += 100ms, done, 0);
  EXPECT_NEAR(meter.Get()->instances_per_second, 0, 1e-6);
  meter.Add(now += 1h, done += 3600, 0);
  EXPECT_LT(meter.Get()->instances_per_second, 2) << "a pause is part of the pace";
}

TEST(TimeLeft, UsesTheSlowerOfTheTwoRates) {
  const std::uint64_t bytes = 58 << 20;
  EXPECT_EQ(TimeLeft(580, bytes, Rate{10, 1 << 20}), 58s);
  EXPECT_EQ(TimeLeft(580, bytes, Rate{580, 1 << 20}), 58s);
  EXPECT_EQ(TimeLeft(580, bytes, Rate{10, 58 << 20}), 58s);
  EXPECT_EQ(TimeLeft(580, bytes, Rate{10, 0}), 58s);
  EXPECT_FALSE(TimeLeft(580, bytes, Rate{0, 0}));
  EXPECT_FALSE(TimeLeft(580, bytes, std::nullopt));
  EXPECT_FALSE(TimeLeft(580, bytes, Rate{1e-9, 1}));
  EXPECT_EQ(TimeLeft(0, bytes, Rate{0, 0}), 0s);
}

TEST(MibPerSecond, AveragesOverTheWholeTime) {
  EXPECT_DOUBLE_EQ(MibPerSecond(5 << 20, 2s), 2.5);
  EXPECT_DOUBLE_EQ(MibPerSecond(5 << 20, 0s), 0);
}

}  // namespace
}  // namespace dicom_sender
