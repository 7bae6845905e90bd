#include "coordinator/leadership/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/metrics_text.h"

namespace dicom_sender {
namespace {

TEST(LeaderMetrics, ACoordinatorStartsAsAStandby) {
  prometheus::Registry registry;
  const LeaderMetrics metrics(registry);
  EXPECT_THAT(MetricsText(registry), testing::HasSubstr("\ndicom_sender_leader 0\n"));
}

}  // namespace
}  // namespace dicom_sender
