// A name for a worker that was given none: the host's, and a number that no other worker on this machine has.
#pragma once

#include <string>

#include "common/unique_fd.h"

namespace dicom_sender {

// "HOST-0", "HOST-1", ...: the first that is free, so that a worker that is started again has its name again. It is
// taken as long as the object lives, and free as soon as the process has died, however it did. Throws
// std::system_error if there is no socket to be had.
class WorkerName {
 public:
  WorkerName();
  const std::string& text() const { return text_; }

 private:
  UniqueFd socket_;
  std::string text_;
};

}  // namespace dicom_sender
