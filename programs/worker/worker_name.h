// Names a worker that has no --worker-id: the host's name and a number that no other worker on this machine has.
#pragma once

#include <string>

#include "common/unique_fd.h"

namespace dicom_sender {

// Takes the first free name of "HOST-0", "HOST-1", and so on, so that a restarted worker has the same name again. The
// name is taken as long as the object lives, and free as soon as the process ends, even after a crash. Throws
// std::system_error if it cannot create a socket.
class WorkerName {
 public:
  WorkerName();
  const std::string& text() const { return text_; }

 private:
  UniqueFd socket_;
  std::string text_;
};

}  // namespace dicom_sender
