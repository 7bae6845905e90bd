// All coordinators and their shared store.
#pragma once

#include <list>
#include <optional>

#include "tests/sim/coordinator.h"
#include "tests/sim/memory_ledger.h"
#include "tests/sim/simulation.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {

class Coordinators {
 public:
  Coordinators(World& world, Checker& checker, const SimulationOptions& options);

  unsigned size() const { return static_cast<unsigned>(list_.size()); }
  SimCoordinator& at(unsigned number) { return *std::next(list_.begin(), number); }
  std::list<SimCoordinator>& list() { return list_; }
  SimStore& store() { return store_; }
  // Returns null if there is no leader at the moment. Throws Violation if two coordinators believe that they are the
  // leader.
  SimCoordinator* Leader();

  // See SimCoordinator.
  void Register(const std::string& peer, const std::shared_ptr<Mailbox>& mailbox) {
    for (SimCoordinator& coordinator : list_) coordinator.Register(peer, mailbox);
  }

 private:
  void CheckMargin(const World& world, unsigned taker);

  MemoryLedgerStore memory_;
  std::optional<TemporaryFolder> folder_;
  SimStore store_;
  std::list<SimCoordinator> list_;
};

}  // namespace dicom_sender
