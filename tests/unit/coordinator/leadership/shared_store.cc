#include "tests/unit/coordinator/leadership/shared_store.h"

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

class SharedStore::SharedLeadership : public Leadership {
 public:
  SharedLeadership(SharedStore& store, const WakeEvent* give_up) : store_(store), give_up_(give_up) {}

  LeaderRecord Look() override {
    store_.Call(give_up_);
    return store_.record();
  }
  std::optional<LeaderRecord> Take(const LeaderRecord& seen, std::string_view leader) override {
    store_.Call(give_up_);
    store_.WaitWhile(store_.taking_hangs_, give_up_);
    const std::lock_guard lock(store_.mutex_);
    if (store_.record_ != seen) return std::nullopt;
    store_.record_ = {.epoch = seen.epoch + 1, .leader = std::string(leader), .renewals = 0};
    return store_.record_;
  }
  bool Renew(std::uint64_t epoch) override {
    store_.Call(give_up_);
    const std::lock_guard lock(store_.mutex_);
    if (store_.record_.epoch != epoch || store_.record_.leader.empty()) return false;
    ++store_.record_.renewals;
    return true;
  }
  bool Release(std::uint64_t epoch) override {
    store_.Call(give_up_);
    const std::lock_guard lock(store_.mutex_);
    if (store_.record_.epoch != epoch) return false;
    store_.record_.leader.clear();
    return true;
  }

 private:
  SharedStore& store_;
  const WakeEvent* const give_up_;
};

class SharedStore::FencedLedger : public FaultLedger {
 public:
  FencedLedger(SharedStore& store, std::unique_ptr<Ledger> ledger, std::uint64_t epoch, const WakeEvent* give_up)
      : FaultLedger(std::move(ledger)), store_(store), epoch_(epoch), give_up_(give_up) {}

  void Begin() override {
    store_.Call(give_up_);
    store_.WaitWhile(store_.ledger_hangs_, give_up_);
    if (store_.record().epoch != epoch_) throw LedgerFenced("another coordinator leads");
    const std::lock_guard lock(store_.mutex_);
    if (store_.full_) throw LedgerError("the database is full");
    FaultLedger::Begin();
  }

 private:
  SharedStore& store_;
  const std::uint64_t epoch_;
  const WakeEvent* const give_up_;
};

LedgerStore SharedStore::Store() {
  using Opened = tl::expected<std::unique_ptr<Leadership>, LedgerTrouble>;
  return {.open_leadership = [this](const WakeEvent* give_up) -> Opened {
            const std::lock_guard lock(mutex_);
            if (trouble_) return tl::unexpected(*trouble_);
            return std::make_unique<SharedLeadership>(*this, give_up);
          },
          .open_ledger = [this](std::uint64_t epoch, const WakeEvent* give_up,
                                const Progress&) -> tl::expected<std::unique_ptr<Ledger>, LedgerTrouble> {
            auto ledger = OpenSqliteLedger(folder_ / "ledger.db");
            if (!ledger) return tl::unexpected(LedgerTrouble{.sentence = ledger.error(), .passing = true});
            return std::make_unique<FencedLedger>(*this, *std::move(ledger), epoch, give_up);
          }};
}

void SharedStore::Call(const WakeEvent* give_up) const {
  const auto health = [this] {
    const std::lock_guard lock(mutex_);
    return health_;
  };
  while (health() == Health::kHanging) {
    if (give_up->WaitFor(kLookEvery)) throw LedgerError("given up");
  }
  if (health() == Health::kAway) throw LedgerError("the server is away");
}

void SharedStore::WaitWhile(const std::atomic<bool>& hangs, const WakeEvent* give_up) {
  if (hangs) ++waiting_;
  while (hangs) {
    if (give_up->WaitFor(kLookEvery)) throw LedgerError("given up");
  }
}

LeaderRecord SharedStore::record() const {
  const std::lock_guard lock(mutex_);
  return record_;
}
void SharedStore::SetRecord(const LeaderRecord& record) {
  const std::lock_guard lock(mutex_);
  record_ = record;
}
void SharedStore::Renew() {
  const std::lock_guard lock(mutex_);
  ++record_.renewals;
}
void SharedStore::SetHealth(Health health) {
  const std::lock_guard lock(mutex_);
  health_ = health;
}
void SharedStore::SetTrouble(std::optional<LedgerTrouble> trouble) {
  const std::lock_guard lock(mutex_);
  trouble_ = std::move(trouble);
}
void SharedStore::SetFull(bool full) {
  const std::lock_guard lock(mutex_);
  full_ = full;
}

}  // namespace dicom_sender
