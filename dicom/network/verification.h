// C-ECHO on an association of its own (PS3.4 annex A): whether a destination answers at all.
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
  // The destination took the association and, where it took the presentation context, answered the C-ECHO.
  bool answered = false;
  bool cancelled = false;
  std::string failure;  // why there was no success: one sentence, with no host in it; empty: there was
};

// Waits as RequestAssociation does. Of the request, contexts and window are replaced.
Verification Verify(const Associate& associate, AssociationRequest request);

}  // namespace dicom_sender
