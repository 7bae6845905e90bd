// The metrics of the leader. Every known series starts at 0.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <cstdint>
#include <map>
#include <string>

#include "common/metrics.h"

namespace dicom_sender {

// The current load of one destination.
struct DestinationLoad {
  std::uint64_t found_instances = 0;
  std::uint64_t pending_instances = 0;
  std::uint64_t pending_bytes = 0;
  std::uint64_t settled_bytes = 0;     // since the previous call to SetLoads
  std::uint64_t sending_sessions = 0;  // open sessions that may be sent
  std::uint64_t associations = 0;
  bool breaker_open = false;
};

// The series of a destination start at 0 when it is first used. Because clients choose the names, their number is
// limited: the destinations after the first kDestinationsMax share the series "other". Not thread-safe.
class DestinationMetrics {
 public:
  static constexpr std::size_t kDestinationsMax = 100;

  explicit DestinationMetrics(prometheus::Registry& registry);
  using Outcomes = std::map<std::string, prometheus::Counter*, std::less<>>;
  const Outcomes& InstancesTotal(const std::string& destination) { return Of(destination).instances_total; }
  // Sets the load of each destination that is missing in `loads` to 0.
  void SetLoads(const std::map<std::string, DestinationLoad>& loads);

 private:
  struct Series {
    Outcomes instances_total;
    prometheus::Counter& settled_bytes_total;
    prometheus::Gauge& found_instances;
    prometheus::Gauge& pending_instances;
    prometheus::Gauge& pending_bytes;
    prometheus::Gauge& sending_sessions;
    prometheus::Gauge& associations;
    prometheus::Gauge& breaker_open;
  };
  Series& Of(const std::string& destination);

  prometheus::Family<prometheus::Counter>& instances_total_;
  prometheus::Family<prometheus::Counter>& settled_bytes_total_;
  prometheus::Family<prometheus::Gauge>& found_instances_;
  prometheus::Family<prometheus::Gauge>& pending_instances_;
  prometheus::Family<prometheus::Gauge>& pending_bytes_;
  prometheus::Family<prometheus::Gauge>& sending_sessions_;
  prometheus::Family<prometheus::Gauge>& associations_;
  prometheus::Family<prometheus::Gauge>& breaker_open_;
  std::map<std::string, Series> series_;
};

struct CoordinatorMetrics {
  explicit CoordinatorMetrics(prometheus::Registry& registry);
  LabelledCounters instances_total;  // by outcome
  LabelledCounters failures_total;   // by reason
  DestinationMetrics destinations;
  prometheus::Family<prometheus::Gauge>& sessions;  // open sessions by state; use the members below
  prometheus::Gauge& sessions_scanning;
  prometheus::Gauge& sessions_sending;
  LabelledCounters sessions_ended_total;  // by state
  prometheus::Histogram& queue_wait_seconds;
  prometheus::Family<prometheus::Gauge>& studies;  // by state; use the members below
  prometheus::Gauge& studies_pending;
  prometheus::Gauge& studies_delayed;
  prometheus::Gauge& studies_leased;
  prometheus::Gauge& studies_done;
  prometheus::Counter& leases_expired_total;
  prometheus::Counter& late_outcomes_total;
  prometheus::Counter& resends_total;
  prometheus::Counter& messages_refused_total;
  prometheus::Gauge& workers_connected;
  prometheus::Gauge& workers_quarantined;
  prometheus::Gauge& breaker_open;
  prometheus::Gauge& last_success_timestamp_seconds;
  prometheus::Histogram& ledger_commit_duration_seconds;
};

}  // namespace dicom_sender
