// Measures the time that sending takes, by activity.
#pragma once

#include <prometheus/counter.h>

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "common/time.h"
#include "dicom/network/association.h"
#include "worker/metrics.h"

namespace dicom_sender {

inline double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

// Adds its lifetime to a counter of seconds.
class TimeSpent {
 public:
  explicit TimeSpent(prometheus::Counter& counter) : counter_(counter) {}
  ~TimeSpent() { counter_.Increment(Seconds(MonotonicNow() - begin_)); }
  TimeSpent(const TimeSpent&) = delete;
  TimeSpent& operator=(const TimeSpent&) = delete;

 private:
  prometheus::Counter& counter_;
  const TimePoint begin_ = MonotonicNow();
};

// Divides the time of a part of a C-STORE, from its construction to its destruction, among the counters, and counts
// its bytes.
class StoreMeter {
 public:
  StoreMeter(const SendingProgress& progress, WorkerMetrics& metrics) : progress_(progress), metrics_(metrics) {}
  ~StoreMeter() {
    const double taking = static_cast<double>(progress_.taking_us - taking_us_) / 1e6;
    const double answer = static_cast<double>(progress_.answer_us - answer_us_) / 1e6;
    metrics_.transfer_seconds.Increment(taking);
    metrics_.response_seconds.Increment(answer);
    // The waits are rounded, but a counter must not decrease.
    metrics_.storage_seconds.Increment(std::max(0.0, Seconds(MonotonicNow() - begin_) - taking - answer));
    metrics_.bytes_sent_total.Increment(static_cast<double>(progress_.bytes_sent - bytes_sent_));
  }
  StoreMeter(const StoreMeter&) = delete;
  StoreMeter& operator=(const StoreMeter&) = delete;

 private:
  const SendingProgress& progress_;
  WorkerMetrics& metrics_;
  const TimePoint begin_ = MonotonicNow();
  const std::uint64_t bytes_sent_ = progress_.bytes_sent, taking_us_ = progress_.taking_us,
                      answer_us_ = progress_.answer_us;
};

}  // namespace dicom_sender
