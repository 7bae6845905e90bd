// A fake ledger that several coordinators share. Its leader record is in memory, and the ledger itself is in a file.
// Tests can make it fail or hang.
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

// Returns true as soon as `condition` holds, and false if it does not within kPatience.
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
  void Renew();  // renews the lease of the leader in the record
  void SetHealth(Health health);
  // Makes Leadership::Take, or every transaction of the ledger, hang until the call is told to give up or this is
  // reset.
  void SetTakingHangs(bool hangs) { taking_hangs_ = hangs; }
  void SetLedgerHangs(bool hangs) { ledger_hangs_ = hangs; }
  std::uint64_t waiting() const { return waiting_; }  // how many calls have hung because of one of the two
  // From now on, opening the leadership fails with this trouble.
  void SetTrouble(std::optional<LedgerTrouble> trouble);
  // From now on, every transaction of the ledger fails, even that of the current leader.
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
