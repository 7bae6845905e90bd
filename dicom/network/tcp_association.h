// Association over TCP (PS3.8 section 9.1).
//
// Dataset bytes go from the page cache to the socket by sendfile(2), which has no MSG_NOSIGNAL. So a program must
// ignore SIGPIPE, or the first destination that closes its connection ends it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <tl/expected.hpp>

#include "common/wake_event.h"
#include "dicom/network/association.h"

namespace dicom_sender {

// Called once with each remark about what the association ignored in the destination's messages (see Remarks).
using IgnoredObserver = std::function<void(const std::string& remark)>;

// Connects, negotiates, and returns an association even if no context was accepted: see contexts(). Blocks up to the
// connect timeout, then the ACSE timeout. Only the lookup of the host's name has the resolver's limits and cannot
// be cancelled. `cancel` may be null; it and `progress` must outlive the association. `on_ignored` may be empty.
tl::expected<std::unique_ptr<Association>, AssociationFailure> RequestAssociation(const AssociationRequest& request,
                                                                                  SendingProgress& progress,
                                                                                  const WakeEvent* cancel,
                                                                                  IgnoredObserver on_ignored);

}  // namespace dicom_sender
