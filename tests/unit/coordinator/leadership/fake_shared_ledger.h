// A fake ledger that several coordinators share: its leader record is in memory, the ledger itself in a file. Tests
// make it fail or hang.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "coordinator/leadership/shared_ledger.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {

inline constexpr std::chrono::seconds kPatience(60);  // long enough for builds with sanitizers

// True as soon as `condition` holds; false if it does not within kPatience.
bool Eventually(const std::function<bool()>& condition);

// Thread-safe. It must outlive everything that it opened.
class FakeSharedLedger {
 public:
  enum class Health {
    kWell,
    kAway,     // every call throws LedgerError
    kHanging,  // every call waits until it is told to give up, or the health changes
  };

  SharedLedger shared();

  LeaderRecord record() const;
  void SetRecord(const LeaderRecord& record);
  void Renew();  // as the leader in the record
  void SetHealth(Health health);
  // Makes Leadership::Take, or every transaction of the ledger, wait until it is told to give up or this is reset.
  void SetTakingHangs(bool hangs) { taking_hangs_ = hangs; }
  void SetLedgerHangs(bool hangs) { ledger_hangs_ = hangs; }
  std::uint64_t waiting() const { return waiting_; }  // how many calls have waited for one of the two
  // Opening the leadership fails with this from now on.
  void SetTrouble(std::optional<LedgerTrouble> trouble);
  // Every transaction of the ledger fails from now on, even that of the current leader.
  void SetFull(bool full);

 private:
  class FakeLeadership;
  class FencedLedger;
  void Call(const WakeEvent* give_up) const;  // throws LedgerError
  void WaitWhile(const std::atomic<bool>& hangs, const WakeEvent* give_up);

  TemporaryFolder folder_;
  std::atomic<bool> taking_hangs_ = false, ledger_hangs_ = false;
  std::atomic<std::uint64_t> waiting_ = 0;
  mutable std::mutex mutex_;  // guards the members below
  LeaderRecord record_;
  Health health_ = Health::kWell;
  std::optional<LedgerTrouble> trouble_;
  bool full_ = false;
};

}  // namespace dicom_sender
