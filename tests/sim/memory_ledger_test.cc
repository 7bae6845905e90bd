// The ledger that simulations use keeps the same contract as the real one.
#include "tests/sim/memory_ledger.h"

#include "tests/unit/ledger/ledger_contract.h"

namespace dicom_sender {
namespace {

class MemoryStore : public LedgerStore {
 public:
  std::unique_ptr<Ledger> Open() override { return store_.Open(); }

 private:
  MemoryLedgerStore store_;
};

INSTANTIATE_TEST_SUITE_P(Memory, LedgerContract, testing::Values([] { return std::make_unique<MemoryStore>(); }));

}  // namespace
}  // namespace dicom_sender
