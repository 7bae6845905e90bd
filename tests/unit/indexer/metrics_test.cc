#include "indexer/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/metrics_text.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;
using testing::Not;

// Dashboards and alerts depend on these names and labels, so they are spelled out here.
TEST(IndexerMetrics, KnownSeriesStartAtZero) {
  prometheus::Registry registry;
  const IndexerMetrics metrics(registry);
  const std::string text = MetricsText(registry);
  for (const std::string series : {
           "indexed_files_total{result=\"indexed\"}",
           "indexed_files_total{result=\"broken\"}",
           "indexed_files_total{result=\"not_dicom\"}",
           "indexed_files_total{result=\"empty\"}",
           "indexed_files_total{result=\"unreadable\"}",
           "indexed_files_total{result=\"dicomdir\"}",
       }) {
    EXPECT_THAT(text, HasSubstr("\ndicom_sender_" + series + " 0"));
  }
  EXPECT_THAT(text, Not(HasSubstr("=\"other\"")));
}

TEST(IndexerMetrics, ExcludeTheSeriesOfOtherPrograms) {
  prometheus::Registry registry;
  const IndexerMetrics metrics(registry);
  const std::string text = MetricsText(registry);
  EXPECT_THAT(text, HasSubstr("indexed_files_total"));
  EXPECT_THAT(text, Not(HasSubstr("instances_total")));
  EXPECT_THAT(text, Not(HasSubstr("bytes_sent_total")));
}

}  // namespace
}  // namespace dicom_sender
