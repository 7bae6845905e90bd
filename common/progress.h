// A thread notes its progress during long work, so that the health check does not mistake it for a hung thread.
#pragma once

#include <atomic>
#include <memory>

#include "common/time.h"

namespace dicom_sender {

// Copies share the same progress. Thread-safe.
class Progress {
 public:
  void Note() { *at_ = MonotonicNow().time_since_epoch().count(); }
  // The time of the last Note(), or of the construction.
  TimePoint at() const { return TimePoint(Duration(*at_)); }

 private:
  std::shared_ptr<std::atomic<Duration::rep>> at_ =
      std::make_shared<std::atomic<Duration::rep>>(MonotonicNow().time_since_epoch().count());
};

}  // namespace dicom_sender
