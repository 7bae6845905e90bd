#include "common/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/metrics_text.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Metrics, NamesHaveThePrefix) {
  prometheus::Registry registry;
  MakeCounter(registry, "a_total", "help of a").Increment(2);
  MakeGauge(registry, "b", "").Set(3);
  MakeHistogram(registry, "c_seconds", "", kShortDurations);
  MakeCounters(registry, "d_total", "").Add({{"kind", "x"}});
  MakeGauges(registry, "e", "").Add({{"kind", "y"}});
  const std::string text = MetricsText(registry);
  for (const std::string line :
       {"# HELP dicom_sender_a_total help of a", "dicom_sender_a_total 2", "dicom_sender_b 3",
        "dicom_sender_c_seconds_count 0", "dicom_sender_d_total{kind=\"x\"} 0", "dicom_sender_e{kind=\"y\"} 0"}) {
    EXPECT_THAT("\n" + text, HasSubstr("\n" + line + "\n"));
  }
}

TEST(LabelledCounters, KnownValuesStartAtZeroAndUnknownOnesShareASeries) {
  prometheus::Registry registry;
  LabelledCounters counters(registry, "things_total", "", "kind", {"a", "b"});
  EXPECT_THAT(MetricsText(registry), HasSubstr("things_total{kind=\"a\"} 0"));
  EXPECT_THAT(MetricsText(registry), Not(HasSubstr("=\"other\"")));
  counters["b"].Increment(3);
  counters["c"].Increment();
  counters["d"].Increment();
  const std::string text = MetricsText(registry);
  EXPECT_THAT(text, HasSubstr("things_total{kind=\"a\"} 0"));
  EXPECT_THAT(text, HasSubstr("things_total{kind=\"b\"} 3"));
  EXPECT_THAT(text, HasSubstr("things_total{kind=\"other\"} 2"));
}

TEST(Metrics, BuildInfoHasTheVersion) {
  prometheus::Registry registry;
  AddBuildInfo(registry, "0.1.0");
  EXPECT_THAT(MetricsText(registry), HasSubstr("dicom_sender_build_info{version=\"0.1.0\"} 1"));
}

}  // namespace
}  // namespace dicom_sender
