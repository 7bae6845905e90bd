#include "coordinator/scheduler/association_limit.h"

#include <gtest/gtest.h>

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class AssociationLimitTest : public testing::Test {
 protected:
  static constexpr TimePoint kStart{seconds(100)};
  static constexpr std::uint32_t kCapacity = 8;

  AssociationLimit limit_{{.slow_down_min = seconds(1), .speed_up = seconds(10)}};
};

TEST_F(AssociationLimitTest, IsUnlimitedAtFirst) {
  EXPECT_FALSE(limit_.value());
  EXPECT_FALSE(limit_.rises_at());
  EXPECT_FALSE(limit_.IsDueToRise(kStart));
}

TEST_F(AssociationLimitTest, IsLoweredToTheLiveAssociationsButNeverToZero) {
  limit_.LowerTo(3, kStart);
  EXPECT_EQ(limit_.value(), 3);
  limit_.LowerTo(0, kStart);
  EXPECT_EQ(limit_.value(), 1);
}

TEST_F(AssociationLimitTest, IsHalvedOncePerInterval) {
  limit_.Halve(8, kStart);
  EXPECT_EQ(limit_.value(), 4);
  limit_.Halve(8, kStart + milliseconds(999));
  EXPECT_EQ(limit_.value(), 4) << "this answers what was sent before";
  limit_.Halve(8, kStart + seconds(1));
  EXPECT_EQ(limit_.value(), 2);
}

TEST_F(AssociationLimitTest, HalvesTheLiveAssociationsIfTheseAreFewerThanTheLimit) {
  limit_.LowerTo(8, kStart);
  limit_.Halve(4, kStart + seconds(1));
  EXPECT_EQ(limit_.value(), 2);
  limit_.Halve(1, kStart + seconds(2));
  EXPECT_EQ(limit_.value(), 1) << "never to zero";
}

TEST_F(AssociationLimitTest, RisesByOneAfterEachInterval) {
  limit_.LowerTo(3, kStart);
  EXPECT_EQ(limit_.rises_at(), kStart + seconds(10));
  EXPECT_FALSE(limit_.IsDueToRise(kStart + milliseconds(9999)));
  EXPECT_TRUE(limit_.IsDueToRise(kStart + seconds(10)));
  limit_.Raise(kCapacity, kStart + seconds(10));
  EXPECT_EQ(limit_.value(), 4);
  EXPECT_EQ(limit_.rises_at(), kStart + seconds(20));
}

TEST_F(AssociationLimitTest, IsLiftedAtTheCapacityOfTheWorkers) {
  limit_.LowerTo(kCapacity - 1, kStart);
  limit_.Raise(kCapacity, kStart + seconds(10));
  EXPECT_FALSE(limit_.value());
  limit_.Raise(kCapacity, kStart + seconds(20));
  EXPECT_FALSE(limit_.value()) << "there is nothing to raise";
}

TEST_F(AssociationLimitTest, IsLiftedOnRequest) {
  limit_.LowerTo(1, kStart);
  limit_.Lift();
  EXPECT_FALSE(limit_.value());
}

}  // namespace
}  // namespace dicom_sender
