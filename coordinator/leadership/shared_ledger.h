// A ledger that several coordinators share.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <tl/expected.hpp>

#include "common/progress.h"
#include "common/wake_event.h"
#include "coordinator/ledger/postgresql/postgresql_ledger.h"

namespace dicom_sender {

// Each call opens its own connection, which reconnects by itself. When `give_up` is raised, its waits end with
// LedgerError; `give_up` must outlive what was opened. During bounded waits for an answer, `progress` is noted.
// Thread-safe.
struct SharedLedger {
  std::function<tl::expected<std::unique_ptr<Leadership>, LedgerTrouble>(const WakeEvent* give_up)> open_leadership;
  // For the leader of that epoch.
  std::function<tl::expected<std::unique_ptr<Ledger>, LedgerTrouble>(std::uint64_t epoch, const WakeEvent* give_up,
                                                                     Progress progress)>
      open_ledger;
};

SharedLedger SharedPostgresqlLedger(const std::string& uri, Duration leader_timeout);

}  // namespace dicom_sender
