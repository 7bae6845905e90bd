#include "worker/loop/ignored_log.h"

#include <spdlog/spdlog.h>

namespace dicom_sender {

void IgnoredLog::Note(const std::string& destination, const std::string& remark) {
  const std::lock_guard lock(mutex_);
  if (logged_.size() == kDestinationsMax && !logged_.contains(destination)) return;
  if (!logged_[destination].Add(remark)) return;
  spdlog::warn("Destination '{}': ignored {}: it breaks the standard but does not matter; not logged again",
               destination, remark);
}

}  // namespace dicom_sender
