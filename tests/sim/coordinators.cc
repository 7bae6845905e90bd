#include "tests/sim/coordinators.h"

#include "coordinator/ledger/sqlite/sqlite_ledger.h"

namespace dicom_sender {

Coordinators::Coordinators(World& world, Checker& checker, const SimulationOptions& options) {
  if (options.sqlite) {
    folder_.emplace();
    store_.open = [this](std::uint64_t) {
      auto ledger = OpenSqliteLedger((*folder_ / "ledger.db").string());
      if (!ledger) throw LedgerError(ledger.error());
      return *std::move(ledger);
    };
  } else if (world.plan.coordinators == 1 || !options.fence) {
    store_.open = [this](std::uint64_t) { return memory_.Open(); };
  } else {
    store_.open = [this](std::uint64_t epoch) { return memory_.Open(epoch); };
  }
  if (world.plan.coordinators > 1) store_.leadership = memory_.OpenLeadership(world.plan.leader_timeout);
  store_.on_taken = [this, &world](unsigned taker) { CheckMargin(world, taker); };
  for (unsigned i = 0; i < world.plan.coordinators; ++i) list_.emplace_back(world, checker, store_, i);
}

// A leader stops an eighth of the timeout before another one takes over. The difference between two clocks reduces
// that.
void Coordinators::CheckMargin(const World& world, unsigned taker) {
  for (const SimCoordinator& other : list_) {
    if (&other == &at(taker) || !other.lease_end()) continue;
    if (world.now() - *other.lease_end() >= world.plan.leader_timeout / 10) continue;
    throw Violation(
        fmt::format("{} takes over too soon after the leader lease of {}", at(taker).name(), other.name()));
  }
}

SimCoordinator* Coordinators::Leader() {
  SimCoordinator* leader = nullptr;
  for (SimCoordinator& coordinator : list_) {
    if (!coordinator.Leads()) continue;
    if (leader) throw Violation(fmt::format("{} and {} lead at a time", leader->name(), coordinator.name()));
    leader = &coordinator;
  }
  return leader;
}

}  // namespace dicom_sender
