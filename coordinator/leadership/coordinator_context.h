// What all phases of a coordinator share.
#pragma once

#include <optional>
#include <string>

#include "coordinator/leadership/status_endpoint.h"
#include "coordinator/scheduler/scheduler.h"
#include "transport/security.h"

namespace dicom_sender {

struct CoordinatorContext {
  std::string bind;            // endpoint of the ROUTER socket
  std::string output_dir;      // for the summaries
  SchedulerOptions scheduler;  // each leader phase sets its own `leases_above` and `seed`
  std::string ledger_name;     // for the log, without a password
  Duration leader_timeout{};   // only for a shared ledger
  std::optional<ServerSecurity> security;
  StatusEndpoint& status;
};

}  // namespace dicom_sender
