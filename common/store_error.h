// A file that a program writes (the ledger or a report) cannot be written or is gone. The program then exits with
// kExitCannotWrite, not with kExitInternal; see cli/exit_status.h.
#pragma once

#include <stdexcept>

namespace dicom_sender {

class StoreError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace dicom_sender
