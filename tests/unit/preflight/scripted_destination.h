// A destination that uses functions to answer associations, and counts the operations on them.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "dicom/network/verification.h"

namespace dicom_sender {

struct ScriptedDestination {
  // Whether it accepts a context with this SOP class and transfer syntax. If empty, it accepts all of them.
  std::function<bool(const std::string& sop_class, const std::string& transfer_syntax)> accepts = {};
  // Whether it refuses a whole association, including that of a C-ECHO.
  std::function<std::optional<AssociationFailure>(const AssociationRequest&)> fails = {};

  std::vector<AssociationRequest> requests = {};
  int released = 0, echoes = 0;

  Associate associate();
};

}  // namespace dicom_sender
