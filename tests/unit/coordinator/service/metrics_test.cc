#include "coordinator/service/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/metrics_text.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;
using testing::Not;

// Dashboards and alerts depend on these names and labels, so they are spelled out here.
TEST(CoordinatorMetrics, KnownSeriesStartAtZero) {
  prometheus::Registry registry;
  const CoordinatorMetrics metrics(registry);
  const std::string text = MetricsText(registry);
  for (const std::string series : {
           "instances_total{outcome=\"stored\"}",
           "instances_total{outcome=\"stored_with_warning\"}",
           "instances_total{outcome=\"failed\"}",
           "instances_total{outcome=\"skipped\"}",
           "instances_total{outcome=\"delayed\"}",
           "instances_total{outcome=\"abandoned\"}",
           "queue_wait_seconds_count",
           "studies{state=\"pending\"}",
           "studies{state=\"delayed\"}",
           "studies{state=\"leased\"}",
           "studies{state=\"done\"}",
           "leases_expired_total",
           "late_outcomes_total",
           "resends_total",
           "messages_refused_total",
           "workers_connected",
           "workers_quarantined",
           "breaker_open",
           "last_success_timestamp_seconds",
           "ledger_commit_duration_seconds_count",
           "failures_total{reason=\"out_of_resources\"}",
           "failures_total{reason=\"processing_failure\"}",
           "failures_total{reason=\"dataset_mismatch\"}",
           "failures_total{reason=\"cannot_understand\"}",
           "failures_total{reason=\"sop_class_not_supported\"}",
           "failures_total{reason=\"other_status\"}",
           "failures_total{reason=\"association_lost\"}",
           "failures_total{reason=\"not_sendable\"}",
           "failures_total{reason=\"defective_file\"}",
           "sessions{state=\"scanning\"}",
           "sessions{state=\"sending\"}",
           "sessions_ended_total{state=\"complete\"}",
           "sessions_ended_total{state=\"unreachable\"}",
           "sessions_ended_total{state=\"refused\"}",
           "sessions_ended_total{state=\"suspended\"}",
           "sessions_ended_total{state=\"cancelled\"}",
       }) {
    EXPECT_THAT(text, HasSubstr("\ndicom_sender_" + series + " 0"));
  }
  EXPECT_THAT(text, Not(HasSubstr("=\"other\"")));
  EXPECT_THAT(text, Not(HasSubstr("destination=")));  // no destination is known yet
}

TEST(CoordinatorMetrics, EventsCountInTheRightSeries) {
  prometheus::Registry registry;
  CoordinatorMetrics metrics(registry);
  metrics.instances_total["failed"].Increment(3);
  metrics.instances_total["a new outcome"].Increment();
  metrics.instances_total["another one"].Increment();
  metrics.studies_leased.Set(2);
  const std::string text = MetricsText(registry);
  EXPECT_THAT(text, HasSubstr("dicom_sender_instances_total{outcome=\"failed\"} 3"));
  EXPECT_THAT(text, HasSubstr("dicom_sender_instances_total{outcome=\"stored\"} 0"));
  EXPECT_THAT(text, HasSubstr("dicom_sender_instances_total{outcome=\"other\"} 2"));
  EXPECT_THAT(text, HasSubstr("dicom_sender_studies{state=\"leased\"} 2"));
}

TEST(DestinationMetrics, ADestinationStartsAtZeroAndHasItsOwnSeries) {
  prometheus::Registry registry;
  DestinationMetrics metrics(registry);
  metrics.InstancesTotal("A:104@a").at("stored")->Increment(2);
  metrics.SetLoads({{"A:104@a",
                     {.found_instances = 9,
                      .pending_instances = 3,
                      .pending_bytes = 4,
                      .settled_bytes = 7,
                      .sending_sessions = 2,
                      .associations = 5,
                      .breaker_open = true}},
                    {"B:104@b", {}}});
  std::string text = MetricsText(registry);
  for (const std::string series :
       {"instances_total{destination=\"A:104@a\",outcome=\"stored\"} 2",
        "instances_total{destination=\"A:104@a\",outcome=\"failed\"} 0",
        "pending_instances{destination=\"A:104@a\"} 3", "pending_bytes{destination=\"A:104@a\"} 4",
        "found_instances{destination=\"A:104@a\"} 9", "settled_bytes_total{destination=\"A:104@a\"} 7",
        "sending_sessions{destination=\"A:104@a\"} 2", "associations{destination=\"A:104@a\"} 5",
        "breaker_open{destination=\"A:104@a\"} 1", "pending_instances{destination=\"B:104@b\"} 0"}) {
    EXPECT_THAT(text, HasSubstr("\ndicom_sender_destination_" + series));
  }
  metrics.SetLoads({});
  text = MetricsText(registry);
  EXPECT_THAT(text, HasSubstr("pending_instances{destination=\"A:104@a\"} 0"));
  EXPECT_THAT(text, HasSubstr("breaker_open{destination=\"A:104@a\"} 0"));
  EXPECT_THAT(text, HasSubstr("settled_bytes_total{destination=\"A:104@a\"} 7"));
  EXPECT_THAT(text, HasSubstr("instances_total{destination=\"A:104@a\",outcome=\"stored\"} 2"));
}

TEST(DestinationMetrics, TheNumberOfDestinationsIsBounded) {
  prometheus::Registry registry;
  DestinationMetrics metrics(registry);
  std::map<std::string, DestinationLoad> loads;
  for (int i = 0; i < 102; ++i) loads["D:" + std::to_string(i) + "@h"] = {.pending_instances = 1};
  metrics.SetLoads(loads);
  metrics.SetLoads(loads);
  const std::string text = MetricsText(registry);
  const std::string name = "\ndicom_sender_destination_pending_instances{";
  std::size_t series = 0;
  for (auto at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) ++series;
  EXPECT_EQ(series, DestinationMetrics::kDestinationsMax + 1);
  EXPECT_THAT(text, HasSubstr("pending_instances{destination=\"other\"} 2"));
}

TEST(DestinationMetrics, NamesHaveNoControlCharacters) {
  prometheus::Registry registry;
  DestinationMetrics destinations(registry);
  destinations.InstancesTotal("A\x1b[2J\r:104@a\nb").at("stored")->Increment();
  // These two look the same when printed, so they share one series.
  destinations.InstancesTotal("B\xFF:104@a").at("stored")->Increment();
  destinations.InstancesTotal("B\xFE:104@a").at("stored")->Increment();
  const std::string text = MetricsText(registry);
  EXPECT_THAT(text, HasSubstr("destination=\"A\\\\x1b[2J\\\\r:104@a\\\\nb\",outcome=\"stored\"} 1"));
  EXPECT_THAT(text, HasSubstr("destination=\"B\xEF\xBF\xBD:104@a\",outcome=\"stored\"} 2"));
  EXPECT_EQ(text.find_first_of("\x1b\r\xFF\xFE"), std::string::npos);
}

}  // namespace
}  // namespace dicom_sender
