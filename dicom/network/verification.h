// Tests with a C-ECHO on a separate association (PS3.4 annex A) whether a destination answers.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <tl/expected.hpp>

#include "dicom/network/association.h"

namespace dicom_sender {

using Associate =
    std::function<tl::expected<std::unique_ptr<Association>, AssociationFailure>(const AssociationRequest&)>;

struct Verification {
  // The destination accepted the association and, if it accepted the presentation context, answered the C-ECHO.
  bool answered = false;
  bool cancelled = false;
  std::string failure;  // why it failed: one sentence, with no host in it; empty after a success
};

// Waits as RequestAssociation does. Replaces the contexts and the window of the request.
Verification Verify(const Associate& associate, AssociationRequest request);

}  // namespace dicom_sender
