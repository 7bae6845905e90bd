// What all phases of a coordinator have in common.
#pragma once

#include <optional>
#include <string>

#include "programs/coordinator/front.h"
#include "programs/coordinator/options.h"
#include "transport/security.h"

namespace dicom_sender {

struct Site {
  CoordinatorOptions options;
  std::string ledger;         // as it may be logged
  Duration leader_timeout{};  // where the ledger is shared
  std::optional<ServerSecurity> security;
  Front& front;
};

// How long a port that was closed just now may still be taken.
inline constexpr std::chrono::seconds kRebindWithin(5);

}  // namespace dicom_sender
