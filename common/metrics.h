// The metrics that other programs depend on. Each struct registers the series of one part, so that a process shows
// only what it is; every series that is known beforehand starts at 0. Thread-safe, as prometheus-cpp is.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <cstdint>
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
  prometheus::Gauge& threads;
  prometheus::Family<prometheus::Counter>& thread_seconds_total;  // by activity; use the references below
  prometheus::Counter& association_seconds;                       // opening and releasing associations
  prometheus::Counter& storage_seconds;   // opening and reading files, and handing them to the kernel
  prometheus::Counter& transfer_seconds;  // until network or destination took more
  prometheus::Counter& response_seconds;  // until the answer to a C-STORE came
  prometheus::Counter& decode_seconds;
  prometheus::Counter& bytes_sent_total;
  prometheus::Histogram& cstore_duration_seconds;
  prometheus::Histogram& study_duration_seconds;
  prometheus::Gauge& associations_active;
  LabelledCounters association_failures_total;  // by reason
};

// What is with one destination now.
struct DestinationLoad {
  std::uint64_t found_instances = 0;
  std::uint64_t pending_instances = 0;
  std::uint64_t pending_bytes = 0;
  std::uint64_t settled_bytes = 0;     // since the last time
  std::uint64_t sending_sessions = 0;  // that may be sent
  std::uint64_t associations = 0;
  bool breaker_open = false;
};

// The series of a destination appear, at 0, when it is asked for. Names come from outside: those after the first
// kDestinationsMax share the series "other". One thread.
class DestinationMetrics {
 public:
  static constexpr std::size_t kDestinationsMax = 100;

  explicit DestinationMetrics(prometheus::Registry& registry);
  using Outcomes = std::map<std::string, prometheus::Counter*, std::less<>>;
  const Outcomes& InstancesTotal(const std::string& destination) { return Of(destination).instances_total; }
  // Destinations that are not named have nothing left.
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

// Of each dicom-coordinator, whether it leads or stands by.
struct LeaderMetrics {
  explicit LeaderMetrics(prometheus::Registry& registry);
  prometheus::Gauge& leader;
};

struct CoordinatorMetrics {
  explicit CoordinatorMetrics(prometheus::Registry& registry);
  LabelledCounters instances_total;  // by outcome
  LabelledCounters failures_total;   // by reason
  DestinationMetrics destinations;
  prometheus::Family<prometheus::Gauge>& sessions;  // open ones by state; use the references below
  prometheus::Gauge& sessions_scanning;
  prometheus::Gauge& sessions_sending;
  LabelledCounters sessions_ended_total;  // by state
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
  prometheus::Gauge& workers_quarantined;
  prometheus::Gauge& breaker_open;
  prometheus::Gauge& last_success_timestamp_seconds;
  prometheus::Histogram& ledger_commit_duration_seconds;
};

// The value of a label that comes from outside: valid UTF-8 without control characters.
std::string LabelValue(std::string_view text);

void AddBuildInfo(prometheus::Registry& registry, const std::string& version);

}  // namespace dicom_sender
