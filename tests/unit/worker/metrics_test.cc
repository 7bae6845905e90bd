#include "worker/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/metrics_text.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;
using testing::Not;

// Dashboards and alerts depend on these names and labels, so they are spelled out here.
TEST(WorkerMetrics, KnownSeriesStartAtZero) {
  prometheus::Registry registry;
  const WorkerMetrics metrics(registry);
  const std::string text = MetricsText(registry);
  for (const std::string series : {
           "bytes_sent_total",
           "cstore_duration_seconds_count",
           "study_duration_seconds_count",
           "associations_active",
           "association_failures_total{reason=\"resolve\"}",
           "association_failures_total{reason=\"refused\"}",
           "association_failures_total{reason=\"unreachable\"}",
           "association_failures_total{reason=\"timeout\"}",
           "association_failures_total{reason=\"rejected_permanent\"}",
           "association_failures_total{reason=\"rejected_transient\"}",
           "association_failures_total{reason=\"aborted\"}",
           "association_failures_total{reason=\"connection_lost\"}",
           "association_failures_total{reason=\"protocol_error\"}",
           "threads",
           "thread_seconds_total{activity=\"association\"}",
           "thread_seconds_total{activity=\"storage\"}",
           "thread_seconds_total{activity=\"transfer\"}",
           "thread_seconds_total{activity=\"response\"}",
           "thread_seconds_total{activity=\"decode\"}",
       }) {
    EXPECT_THAT(text, HasSubstr("\ndicom_sender_" + series + " 0"));
  }
  EXPECT_THAT(text, Not(HasSubstr("=\"other\"")));
}

}  // namespace
}  // namespace dicom_sender
