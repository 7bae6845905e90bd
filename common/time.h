// Clocks and time formats. Leases, backoff, and timeouts use the monotonic clock only; wall time is for what people
// read (log, summary, ledger records). Pure code takes the current time as an argument and never reads a clock.
#pragma once

#include <chrono>
#include <string>

namespace dicom_sender {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;
using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::milliseconds>;

// Stands still while the host is suspended (CLOCK_MONOTONIC).
inline TimePoint MonotonicNow() { return std::chrono::steady_clock::now(); }
inline WallTime WallNow() {
  return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

// RFC 3339 in UTC with milliseconds: "2024-09-10T15:30:15.123Z".
std::string FormatRfc3339(WallTime time);

// Formats the rest of a wait, rounded up: "58 s", "12 min", "5 h 59 min", "2 d 3 h".
std::string FormatWait(Duration wait);

}  // namespace dicom_sender
