// Decides whether to propose an asynchronous operations window to a destination. Some destinations abort or drop
// every association that proposes one (PS3.7 D.3.3.3), although the standard allows them to leave the item
// unanswered.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace dicom_sender {

// Lives as long as the worker, and is shared by its sending threads. Thread-safe. Each association reports to it
// once: its loss before any response, or its first response.
class WindowMemory {
 public:
  bool MayPropose(const std::string& destination) const;

  // Call it when an association has failed before any response: by an abort or a loss if it proposed a window, or in
  // any way if it did not. Returns true if the window may be to blame; then no window is proposed until more is
  // known.
  bool Lost(const std::string& destination, bool proposed, const std::string& reason);

  // Call it for the first response. If it confirms that the window was to blame, returns the reason of the loss,
  // once.
  std::optional<std::string> Answered(const std::string& destination, bool proposed);

 private:
  enum class Finding {
    kHarmless,   // an association with a window has had a response, so a later loss has another cause
    kSuspected,  // an association with a window was lost
    kToBlame,    // and one without a window has had a response
  };
  struct Entry {
    Finding finding = Finding::kSuspected;
    std::string reason;  // of the loss
  };
  // Further destinations are not tracked.
  static constexpr std::size_t kDestinationsMax = 1000;

  mutable std::mutex mutex_;
  std::map<std::string, Entry> entries_;
};

}  // namespace dicom_sender
