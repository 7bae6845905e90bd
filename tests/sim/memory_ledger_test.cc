// The simulations' ledger fulfills the same contract as the real one.
#include "tests/sim/memory_ledger.h"

#include "tests/unit/coordinator/ledger/copies_contract.h"

namespace dicom_sender {
namespace {

class MemoryStore : public LedgerStore {
 public:
  std::unique_ptr<Ledger> Open() override { return store_.Open(); }

 private:
  MemoryLedgerStore store_;
};

class MemoryFenceTest : public testing::Test {
 protected:
  // Becomes the leader in a new epoch.
  LeaderRecord Take(const std::string& leader) { return *leadership_->Take(leadership_->Look(), leader); }
  static std::size_t SessionsAfterCreating(Ledger& ledger) {
    ledger.Begin();
    ledger.CreateSession({}, {});
    ledger.Commit();
    return ledger.Sessions().size();
  }

  MemoryLedgerStore store_;
  std::unique_ptr<Leadership> leadership_ = store_.OpenLeadership(std::chrono::seconds(1));
};

TEST_F(MemoryFenceTest, OnlyTheLastLeaderCanWrite) {
  const auto a = store_.Open(Take("a").epoch);
  EXPECT_EQ(SessionsAfterCreating(*a), 1U);
  const auto b = store_.Open(Take("b").epoch);
  EXPECT_THROW(SessionsAfterCreating(*a), LedgerFenced);
  EXPECT_EQ(SessionsAfterCreating(*b), 2U);
}

TEST_F(MemoryFenceTest, ATransactionOpenDuringATakeoverIsNotCommitted) {
  const auto a = store_.Open(Take("a").epoch);
  a->Begin();
  a->CreateSession({}, {});
  const auto b = store_.Open(Take("b").epoch);
  EXPECT_THROW(a->Commit(), LedgerFenced);
  EXPECT_TRUE(b->Sessions().empty());
}

TEST_F(MemoryFenceTest, TakingTheRecordIsACompareAndSwap) {
  const LeaderRecord nobody = leadership_->Look();
  const LeaderRecord a = Take("a");
  EXPECT_EQ(leadership_->Look(), a);
  EXPECT_FALSE(leadership_->Take(nobody, "b"));
  EXPECT_TRUE(leadership_->Renew(a.epoch));
  EXPECT_FALSE(leadership_->Take(a, "b"));  // a's record is current
  const LeaderRecord b = Take("b");
  EXPECT_GT(b.epoch, a.epoch);
  EXPECT_FALSE(leadership_->Renew(a.epoch));
}

TEST_F(MemoryFenceTest, OnlyTheLeaderHandsOver) {
  const LeaderRecord a = Take("a");
  const LeaderRecord b = Take("b");
  leadership_->Release(a.epoch);
  EXPECT_EQ(leadership_->Look(), b);
  leadership_->Release(b.epoch);
  EXPECT_EQ(leadership_->Look().leader, "");
  EXPECT_FALSE(leadership_->Renew(b.epoch));
  EXPECT_GT(Take("a").epoch, b.epoch);
}

// Simulations must detect a missing fence, so both writes must be possible without it.
TEST_F(MemoryFenceTest, WithoutAFenceBothWrite) {
  const auto a = store_.Open();
  const auto b = store_.Open();
  EXPECT_EQ(SessionsAfterCreating(*a), 1U);
  EXPECT_EQ(SessionsAfterCreating(*b), 2U);
  EXPECT_EQ(SessionsAfterCreating(*a), 3U);
}

INSTANTIATE_TEST_SUITE_P(Memory, LedgerContract, testing::Values([] { return std::make_unique<MemoryStore>(); }));
INSTANTIATE_TEST_SUITE_P(Memory, CopiesContract, testing::Values([] { return std::make_unique<MemoryStore>(); }));

}  // namespace
}  // namespace dicom_sender
