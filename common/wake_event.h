// An event that poll() can wait for, raised from any thread. Level-triggered: it stays raised until cleared.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <system_error>

#include "common/unique_fd.h"

namespace dicom_sender {

class WakeEvent {
 public:
  WakeEvent() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (!fd_.valid()) throw std::system_error(errno, std::generic_category(), "eventfd");
  }

  void Raise() {
    raised_ = true;
    const std::uint64_t one = 1;
    // It fails only if the counter is full, and then the event is raised already.
    [[maybe_unused]] const auto written = write(fd_.get(), &one, sizeof one);
  }
  // Call it before examining what the event announces, or a Raise() in between is lost.
  void Clear() {
    raised_ = false;
    std::uint64_t count = 0;
    [[maybe_unused]] const auto got = read(fd_.get(), &count, sizeof count);
  }
  // Returns false if the event is not raised within `timeout`, which is capped at 1 min.
  bool WaitFor(std::chrono::nanoseconds timeout) const {
    using std::chrono::milliseconds;
    const auto left =
        std::chrono::ceil<milliseconds>(std::min<std::chrono::nanoseconds>(timeout, std::chrono::minutes(1)));
    pollfd fd = {fd_.get(), POLLIN, 0};
    poll(&fd, 1, static_cast<int>(std::max(left, milliseconds(0)).count()));
    return raised_;
  }
  bool raised() const { return raised_; }
  int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
  std::atomic<bool> raised_ = false;
};

}  // namespace dicom_sender
