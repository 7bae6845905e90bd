// The metrics that other programs depend on. Each struct registers the series of one part, so that a process shows
// only what it is; every series that is known beforehand starts at 0. Thread-safe, as prometheus-cpp is.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <map>
#include <string>
#include <string_view>

namespace dicom_sender {

// Counters with one label of which all values are known. A value that is not known counts as "other", a series that
// appears then. Look a counter up once where it counts often.
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

struct IndexerMetrics {
  explicit IndexerMetrics(prometheus::Registry& registry);
  LabelledCounters indexed_files_total;  // by result
};

struct WorkerMetrics {
  explicit WorkerMetrics(prometheus::Registry& registry);
  prometheus::Counter& bytes_sent_total;
  prometheus::Histogram& cstore_duration_seconds;
  prometheus::Histogram& study_duration_seconds;
  prometheus::Gauge& associations_active;
  LabelledCounters association_failures_total;  // by reason
};

struct CoordinatorMetrics {
  explicit CoordinatorMetrics(prometheus::Registry& registry);
  LabelledCounters instances_total;  // by outcome
  prometheus::Histogram& queue_wait_seconds;
  prometheus::Family<prometheus::Gauge>& studies;  // by state; use the references below
  prometheus::Gauge& studies_pending;
  prometheus::Gauge& studies_delayed;
  prometheus::Gauge& studies_leased;
  prometheus::Gauge& studies_done;
  prometheus::Counter& leases_expired_total;
  prometheus::Counter& late_outcomes_total;
  prometheus::Counter& resends_total;
  prometheus::Counter& messages_refused_total;
  prometheus::Gauge& workers_connected;
  prometheus::Gauge& breaker_open;
  prometheus::Gauge& last_success_timestamp_seconds;
  prometheus::Histogram& ledger_commit_duration_seconds;
};

void AddBuildInfo(prometheus::Registry& registry, const std::string& version);

}  // namespace dicom_sender
