// Logs what was ignored in the messages of a destination: each remark once per destination, not once per association.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "dicom/network/remarks.h"

namespace dicom_sender {

// Thread-safe.
class IgnoredLog {
 public:
  void Note(const std::string& destination, const std::string& remark);

 private:
  // Further destinations are not logged.
  static constexpr std::size_t kDestinationsMax = 1000;

  std::mutex mutex_;
  std::map<std::string, Remarks> logged_;
};

}  // namespace dicom_sender
