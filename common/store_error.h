// Something that a program writes (ledger, reports) cannot be written or is gone. It ends the program with
// kExitCannotWrite, not with kExitInternal: see cli/exit_status.h.
#pragma once

#include <stdexcept>

namespace dicom_sender {

class StoreError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace dicom_sender
