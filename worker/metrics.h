// The metrics of a worker. Every known series starts at 0.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include "common/metrics.h"

namespace dicom_sender {

struct WorkerMetrics {
  explicit WorkerMetrics(prometheus::Registry& registry);
  prometheus::Gauge& threads;
  prometheus::Family<prometheus::Counter>& thread_seconds_total;  // by activity; use the members below
  prometheus::Counter& association_seconds;                       // opening and releasing associations
  prometheus::Counter& storage_seconds;   // opening and reading files and handing them to the kernel
  prometheus::Counter& transfer_seconds;  // waiting for the network or the destination to take more data
  prometheus::Counter& response_seconds;  // waiting for the response to a C-STORE
  prometheus::Counter& decode_seconds;
  prometheus::Counter& bytes_sent_total;
  prometheus::Histogram& cstore_duration_seconds;
  prometheus::Histogram& study_duration_seconds;
  prometheus::Gauge& associations_active;
  LabelledCounters association_failures_total;  // by reason
};

}  // namespace dicom_sender
