// Checks whether the folders of a worker's path map exist, because a worker without its mount must not take studies.
//
// Checks them every two seconds in a thread of its own, because access to a network file system may hang. Reason()
// may be called from any thread.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/time.h"

namespace dicom_sender {

class FolderWatch {
 public:
  // Waits for the first check, but not longer than a second.
  explicit FolderWatch(std::vector<std::string> folders);

  // Says what is wrong with the first unusable folder: it is missing, empty like a mount point without its mount, or
  // does not respond. Empty if all folders are usable.
  std::string Reason() const;

 private:
  void Run(const std::stop_token& stop);

  const std::vector<std::string> folders_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::string reason_;
  bool looked_ = false;
  TimePoint look_begun_;
  std::jthread thread_;  // must be last: it uses the others
};

// Checks one folder once, without a thread.
std::string WrongWithFolder(const std::string& folder);

}  // namespace dicom_sender
