#include "transport/refusals.h"

#include <spdlog/spdlog.h>

namespace dicom_sender {

void Refusals::Add(const std::string& who, const std::string& sentence, Time now) {
  if (MayLog(who, now)) spdlog::warn("{}", sentence);
  ++count_;
}

bool Refusals::MayLog(const std::string& who, Time now) {
  const std::lock_guard lock(mutex_);
  std::erase_if(logged_, [now](const auto& entry) { return now - entry.second >= kSilence; });
  return logged_.size() < kNamesMax && logged_.emplace(who, now).second;
}

}  // namespace dicom_sender
