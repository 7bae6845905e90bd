// Detects that the wall clock of the machine was set back while a program runs. No decision depends on the wall
// clock, but the times in logs and reports do, and a worker that starts afterwards looks older than its previous
// run.
#pragma once

#include <optional>

#include "common/time.h"

namespace dicom_sender {

// Call it about once a second, from a program's loop. Not thread-safe.
class ClockWatch {
 public:
  static constexpr std::chrono::seconds kLeast{2};  // time synchronization makes smaller corrections

  // Returns by how much the clock was set back since the last call, or nullopt if it was not.
  std::optional<Duration> SetBackBy(TimePoint now, WallTime wall);
  // Reads both clocks, and logs a warning if the wall clock was set back.
  void Look();

 private:
  struct Reading {
    TimePoint now;
    WallTime wall;
  };
  std::optional<Reading> last_;
};

}  // namespace dicom_sender
