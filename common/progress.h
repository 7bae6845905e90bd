// That a thread gets on, though what it does takes long: told by the thread, asked for by whoever would take it for
// hanging otherwise.
#pragma once

#include <atomic>
#include <memory>

#include "common/time.h"

namespace dicom_sender {

// A copy is the same progress. Thread-safe.
class Progress {
 public:
  void Note() { *at_ = MonotonicNow().time_since_epoch().count(); }
  // When it was noted last, or the object was made.
  TimePoint at() const { return TimePoint(Duration(*at_)); }

 private:
  std::shared_ptr<std::atomic<Duration::rep>> at_ =
      std::make_shared<std::atomic<Duration::rep>>(MonotonicNow().time_since_epoch().count());
};

}  // namespace dicom_sender
