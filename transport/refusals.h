// Keeps clients whose messages are refused from filling the log.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace dicom_sender {

// Counts and logs refusals. Per minute, logs at most one refusal for each `who`, and at most kNamesMax of these. Logs
// first, then counts. Thread-safe.
class Refusals {
 public:
  static constexpr std::size_t kNamesMax = 100;
  static constexpr std::chrono::minutes kSilence{1};
  using Time = std::chrono::steady_clock::time_point;

  void Add(const std::string& who, const std::string& sentence, Time now = std::chrono::steady_clock::now());
  std::uint64_t count() const { return count_; }

 private:
  bool MayLog(const std::string& who, Time now);

  std::atomic<std::uint64_t> count_ = 0;
  std::mutex mutex_;
  std::map<std::string, Time> logged_;
};

}  // namespace dicom_sender
