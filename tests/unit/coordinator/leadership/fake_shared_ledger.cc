#include "tests/unit/coordinator/leadership/fake_shared_ledger.h"

#include <fmt/format.h>

#include "common/time.h"
#include "coordinator/ledger/sqlite/sqlite_ledger.h"
#include "tests/sim/fault_ledger.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::milliseconds kLookEvery(5);

}  // namespace

bool Eventually(const std::function<bool()>& condition) {
  const WakeEvent never;
  const TimePoint deadline = MonotonicNow() + kPatience;
  while (!condition()) {
    if (MonotonicNow() >= deadline) return false;
    never.WaitFor(kLookEvery);
  }
  return true;
}

class FakeSharedLedger::FakeLeadership : public Leadership {
 public:
  FakeLeadership(FakeSharedLedger& fake, const WakeEvent* give_up) : fake_(fake), give_up_(give_up) {}

  LeaderRecord Look() override {
    fake_.Call(give_up_);
    return fake_.record();
  }
  std::optional<LeaderRecord> Take(const LeaderRecord& seen, std::string_view leader) override {
    fake_.Call(give_up_);
    fake_.WaitWhile(fake_.taking_hangs_, give_up_);
    const std::lock_guard lock(fake_.mutex_);
    if (fake_.record_ != seen) return std::nullopt;
    fake_.record_ = {.epoch = seen.epoch + 1, .leader = std::string(leader), .renewals = 0};
    return fake_.record_;
  }
  bool Renew(std::uint64_t epoch) override {
    fake_.Call(give_up_);
    const std::lock_guard lock(fake_.mutex_);
    if (fake_.record_.epoch != epoch || fake_.record_.leader.empty()) return false;
    ++fake_.record_.renewals;
    return true;
  }
  bool Release(std::uint64_t epoch) override {
    fake_.Call(give_up_);
    const std::lock_guard lock(fake_.mutex_);
    if (fake_.record_.epoch != epoch) return false;
    fake_.record_.leader.clear();
    return true;
  }

 private:
  FakeSharedLedger& fake_;
  const WakeEvent* const give_up_;
};

class FakeSharedLedger::FencedLedger : public FaultLedger {
 public:
  FencedLedger(FakeSharedLedger& fake, std::unique_ptr<Ledger> ledger, std::uint64_t epoch, const WakeEvent* give_up)
      : FaultLedger(std::move(ledger)), fake_(fake), epoch_(epoch), give_up_(give_up) {}

  void Begin() override {
    fake_.Call(give_up_);
    fake_.WaitWhile(fake_.ledger_hangs_, give_up_);
    if (fake_.record().epoch != epoch_) throw LedgerFenced("another coordinator is the leader");
    const std::lock_guard lock(fake_.mutex_);
    if (fake_.full_) throw LedgerError("the database is full");
    FaultLedger::Begin();
  }

 private:
  FakeSharedLedger& fake_;
  const std::uint64_t epoch_;
  const WakeEvent* const give_up_;
};

SharedLedger FakeSharedLedger::shared() {
  using Opened = tl::expected<std::unique_ptr<Leadership>, LedgerTrouble>;
  return {.open_leadership = [this](const WakeEvent* give_up) -> Opened {
            const std::lock_guard lock(mutex_);
            if (trouble_) return tl::unexpected(*trouble_);
            return std::make_unique<FakeLeadership>(*this, give_up);
          },
          .open_ledger = [this](std::uint64_t epoch, const WakeEvent* give_up,
                                const Progress&) -> tl::expected<std::unique_ptr<Ledger>, LedgerTrouble> {
            auto ledger = OpenSqliteLedger(folder_ / "ledger.db");
            if (!ledger) return tl::unexpected(LedgerTrouble{.sentence = ledger.error(), .passing = true});
            return std::make_unique<FencedLedger>(*this, *std::move(ledger), epoch, give_up);
          }};
}

void FakeSharedLedger::Call(const WakeEvent* give_up) const {
  const auto health = [this] {
    const std::lock_guard lock(mutex_);
    return health_;
  };
  while (health() == Health::kHanging) {
    if (give_up->WaitFor(kLookEvery)) throw LedgerError("given up");
  }
  if (health() == Health::kAway) throw LedgerError("the server is away");
}

void FakeSharedLedger::WaitWhile(const std::atomic<bool>& hangs, const WakeEvent* give_up) {
  if (hangs) ++waiting_;
  while (hangs) {
    if (give_up->WaitFor(kLookEvery)) throw LedgerError("given up");
  }
}

LeaderRecord FakeSharedLedger::record() const {
  const std::lock_guard lock(mutex_);
  return record_;
}
void FakeSharedLedger::SetRecord(const LeaderRecord& record) {
  const std::lock_guard lock(mutex_);
  record_ = record;
}
void FakeSharedLedger::Renew() {
  const std::lock_guard lock(mutex_);
  ++record_.renewals;
}
void FakeSharedLedger::SetHealth(Health health) {
  const std::lock_guard lock(mutex_);
  health_ = health;
}
void FakeSharedLedger::SetTrouble(std::optional<LedgerTrouble> trouble) {
  const std::lock_guard lock(mutex_);
  trouble_ = std::move(trouble);
}
void FakeSharedLedger::SetFull(bool full) {
  const std::lock_guard lock(mutex_);
  full_ = full;
}

}  // namespace dicom_sender
