// Keeps a peer that sends nothing but nonsense from filling the log: one line for each peer and minute.
//
// Pure but for the log. Bounded: of more than kPeersMax peers within a minute only the first ones are logged by name.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "common/time.h"

namespace dicom_sender {

class RefusalLog {
 public:
  static constexpr std::size_t kPeersMax = 1000;

  // Logs the line, unless one of this peer was logged within the last minute. Returns whether it did.
  bool Log(const std::string& peer, std::string_view reason, TimePoint now);

 private:
  std::unordered_map<std::string, TimePoint> logged_;  // when, by peer
};

}  // namespace dicom_sender
