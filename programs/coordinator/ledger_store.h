// A ledger that several coordinators share, as the succession needs it.
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

// Each call opens a connection of its own. `give_up`, which must outlive what is opened, ends its waits with
// LedgerError; `progress` is noted while it waits for an answer that has its bound. What was opened connects again by
// itself. Thread-safe.
struct LedgerStore {
  std::function<tl::expected<std::unique_ptr<Leadership>, LedgerTrouble>(const WakeEvent* give_up)> open_leadership;
  // The ledger of that epoch's leader.
  std::function<tl::expected<std::unique_ptr<Ledger>, LedgerTrouble>(std::uint64_t epoch, const WakeEvent* give_up,
                                                                     Progress progress)>
      open_ledger;
};

LedgerStore PostgresqlStore(const std::string& uri, Duration leader_timeout);

}  // namespace dicom_sender
