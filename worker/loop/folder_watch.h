// Whether the folders that a worker's roots are mapped to are there: a worker without its mount must not take
// studies.
//
// Looks at them every two seconds in a thread of its own, because a look at a network file system may hang. Reason()
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
  // The first look is over when this returns, unless it takes longer than a second.
  explicit FolderWatch(std::vector<std::string> folders);

  // What is wrong with the first folder that cannot be used: it is missing, empty as a mount point without its mount,
  // or does not answer. Empty: nothing.
  std::string Reason() const;

 private:
  void Run(const std::stop_token& stop);

  const std::vector<std::string> folders_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::string reason_;
  bool looked_ = false;
  TimePoint look_begun_;
  std::jthread thread_;  // last: it uses the others
};

// The same once, without a thread.
std::string WrongWithFolder(const std::string& folder);

}  // namespace dicom_sender
