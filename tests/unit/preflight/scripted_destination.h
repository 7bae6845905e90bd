// A destination that answers associations by a function, and counts what is done with them.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "dicom/network/verification.h"

namespace dicom_sender {

struct ScriptedDestination {
  // Whether it accepts a context with this SOP class and transfer syntax. Empty: all of them.
  std::function<bool(const std::string& sop_class, const std::string& transfer_syntax)> accepts = {};
  // Refuses a whole association; a C-ECHO's, too.
  std::function<std::optional<AssociationFailure>(const AssociationRequest&)> fails = {};

  std::vector<AssociationRequest> requests = {};
  int released = 0, echoes = 0;

  Associate associate();
};

}  // namespace dicom_sender
