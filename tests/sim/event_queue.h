// Simulated time: a queue of future events. Events at the same time run in the order in which they were added.
#pragma once

#include <algorithm>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

#include "common/time.h"

namespace dicom_sender {

class EventQueue {
 public:
  explicit EventQueue(TimePoint begin) : now_(begin) {}

  TimePoint now() const { return now_; }
  void At(TimePoint time, std::function<void()> what) {
    queue_.push({std::max(time, now_), order_++, std::move(what)});
  }
  void After(Duration delay, std::function<void()> what) { At(now_ + delay, std::move(what)); }

  // Runs the next event if it is not later than `end`.
  bool RunNext(TimePoint end) {
    if (queue_.empty() || queue_.top().time > end) return false;
    const std::function<void()> what = queue_.top().what;
    now_ = queue_.top().time;
    queue_.pop();
    what();
    return true;
  }

 private:
  struct Entry {
    TimePoint time;
    std::uint64_t order = 0;
    std::function<void()> what;
    friend bool operator<(const Entry& a, const Entry& b) {  // the earliest event is on top
      return a.time != b.time ? a.time > b.time : a.order > b.order;
    }
  };

  TimePoint now_;
  std::uint64_t order_ = 0;
  std::priority_queue<Entry> queue_;
};

}  // namespace dicom_sender
