// Notices that this machine's wall clock is set back while a program runs. Nothing that is decided depends on it, but
// the times in logs and reports do, and a worker that is started after it looks older than its earlier life.
#pragma once

#include <optional>

#include "common/time.h"

namespace dicom_sender {

// To be asked about once a second, in a program's loop. One thread.
class ClockWatch {
 public:
  static constexpr std::chrono::seconds kLeast{2};  // less is how clocks are kept right

  // By how much the clock was set back since the last call; nullopt: it was not.
  std::optional<Duration> SetBackBy(TimePoint now, WallTime wall);
  // The same with the time of now; logs it.
  void Look();

 private:
  struct Reading {
    TimePoint now;
    WallTime wall;
  };
  std::optional<Reading> last_;
};

}  // namespace dicom_sender
