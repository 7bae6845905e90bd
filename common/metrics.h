// Helpers for all metrics. Each part of the system has its own metrics.h with the metrics that it owns, so a process
// exposes only the series of the parts that it runs. Thread-safe, as prometheus-cpp is.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <initializer_list>
#include <map>
#include <string>
#include <string_view>

namespace dicom_sender {

// These prepend the prefix "dicom_sender_" to `name`. A plural returns a family, to which series with labels are
// added; a singular returns the only series, which has no labels.
prometheus::Family<prometheus::Counter>& MakeCounters(prometheus::Registry& registry, const std::string& name,
                                                      const std::string& help);
prometheus::Family<prometheus::Gauge>& MakeGauges(prometheus::Registry& registry, const std::string& name,
                                                  const std::string& help);
prometheus::Counter& MakeCounter(prometheus::Registry& registry, const std::string& name, const std::string& help);
prometheus::Gauge& MakeGauge(prometheus::Registry& registry, const std::string& name, const std::string& help);
prometheus::Histogram& MakeHistogram(prometheus::Registry& registry, const std::string& name, const std::string& help,
                                     const prometheus::Histogram::BucketBoundaries& bounds);

// Bucket boundaries in seconds: for one message or request, and for work on a whole study.
inline const prometheus::Histogram::BucketBoundaries kShortDurations = {0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1,
                                                                        0.3,    1,      3,     10,    30,   100};
inline const prometheus::Histogram::BucketBoundaries kLongDurations = {0.01, 0.03, 0.1, 0.3,  1,    3,    10,
                                                                       30,   100,  300, 1000, 3000, 10000};

// Counters with one label whose values are all known in advance, so that every series starts at 0. Unknown values are
// counted in the series "other", which then appears. In hot code, look up a counter once and keep the reference.
class LabelledCounters {
 public:
  LabelledCounters(prometheus::Registry& registry, const std::string& name, const std::string& help,
                   const std::string& label, std::initializer_list<const char*> values);
  prometheus::Counter& operator[](std::string_view value);

 private:
  prometheus::Family<prometheus::Counter>& family_;
  std::string label_;
  std::map<std::string, prometheus::Counter*, std::less<>> counters_;
};

// Makes a label value from untrusted text: valid UTF-8 without control characters.
std::string LabelValue(std::string_view text);

void AddBuildInfo(prometheus::Registry& registry, const std::string& version);

}  // namespace dicom_sender
