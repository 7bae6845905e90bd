// Whether to propose an asynchronous operations window to a destination. Some destinations abort or drop every
// association that proposes one (PS3.7 D.3.3.3), though the standard lets them leave the item unanswered.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace dicom_sender {

// Lives as long as the worker. Shared by its sending threads; thread-safe. Each association tells it once: of its
// loss before any response came, or of its first response.
class WindowMemory {
 public:
  bool MayPropose(const std::string& destination) const;

  // The association has failed before any response: was aborted or lost where a window was proposed, or in any way
  // where none was. True: the window may be to blame, and is not proposed until it is known better.
  bool Lost(const std::string& destination, bool proposed, const std::string& reason);

  // A response has come. If this confirms that the window was to blame, the reason of the loss, once.
  std::optional<std::string> Answered(const std::string& destination, bool proposed);

 private:
  enum class Finding {
    kHarmless,   // a response has come where a window was proposed: a later loss has another cause
    kSuspected,  // a loss where a window was proposed
    kToBlame,    // and a response where none was proposed
  };
  struct Entry {
    Finding finding = Finding::kSuspected;
    std::string reason;  // of the loss
  };
  // Above, nothing is concluded about further destinations.
  static constexpr std::size_t kDestinationsMax = 1000;

  mutable std::mutex mutex_;
  std::map<std::string, Entry> entries_;
};

}  // namespace dicom_sender
