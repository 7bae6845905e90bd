#include "worker/association/window_memory.h"

namespace dicom_sender {

bool WindowMemory::MayPropose(const std::string& destination) const {
  const std::lock_guard lock(mutex_);
  const auto entry = entries_.find(destination);
  return entry == entries_.end() || entry->second.finding == Finding::kHarmless;
}

bool WindowMemory::Lost(const std::string& destination, bool proposed, const std::string& reason) {
  const std::lock_guard lock(mutex_);
  const auto entry = entries_.find(destination);
  if (entry == entries_.end()) {
    if (!proposed || entries_.size() == kDestinationsMax) return false;
    entries_[destination] = {Finding::kSuspected, reason};
    return true;
  }
  if (proposed) return entry->second.finding != Finding::kHarmless;
  // It fails without a window, too, so the window is not to blame. But a finding that a response confirmed stays
  // valid.
  if (entry->second.finding == Finding::kSuspected) entries_.erase(entry);
  return false;
}

std::optional<std::string> WindowMemory::Answered(const std::string& destination, bool proposed) {
  const std::lock_guard lock(mutex_);
  const auto entry = entries_.find(destination);
  if (proposed) {
    if (entry != entries_.end()) {
      entry->second.finding = Finding::kHarmless;
    } else if (entries_.size() < kDestinationsMax) {
      entries_[destination] = {Finding::kHarmless, ""};
    }
    return std::nullopt;
  }
  if (entry == entries_.end() || entry->second.finding != Finding::kSuspected) return std::nullopt;
  entry->second.finding = Finding::kToBlame;
  return entry->second.reason;
}

}  // namespace dicom_sender
