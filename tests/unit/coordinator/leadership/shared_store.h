// A ledger that several coordinators share, with its record of who leads: in memory and in a file. It fails as it is
// told to. Nothing here is for the product.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "programs/coordinator/ledger_store.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {

inline constexpr std::chrono::seconds kPatience(60);  // for what must come, sanitizers included

// True as soon as `condition` holds; false if it does not within kPatience.
bool Eventually(const std::function<bool()>& condition);

// Thread-safe. What it gives out must not outlive it.
class SharedStore {
 public:
  enum class Health {
    kWell,
    kAway,     // whoever calls gets a LedgerError
    kHanging,  // whoever calls waits until it is told to give up, or health is back
  };

  LedgerStore Store();

  LeaderRecord record() const;
  void SetRecord(const LeaderRecord& record);
  void Renew();  // as the leader of the record
  void SetHealth(Health health);
  // Whoever takes, or works with the ledger, waits until it is told to give up, or this ends.
  void SetTakingHangs(bool hangs) { taking_hangs_ = hangs; }
  void SetLedgerHangs(bool hangs) { ledger_hangs_ = hangs; }
  std::uint64_t waiting() const { return waiting_; }  // for one of the two, so far
  // What opening ends with from now on.
  void SetTrouble(std::optional<LedgerTrouble> trouble);
  // Every transaction of the ledger fails from now on, though its leader is the right one.
  void SetFull(bool full);

 private:
  class SharedLeadership;
  class FencedLedger;
  void Call(const WakeEvent* give_up) const;  // throws LedgerError
  void WaitWhile(const std::atomic<bool>& hangs, const WakeEvent* give_up);

  TemporaryFolder folder_;
  std::atomic<bool> taking_hangs_ = false, ledger_hangs_ = false;
  std::atomic<std::uint64_t> waiting_ = 0;
  mutable std::mutex mutex_;  // of what follows
  LeaderRecord record_;
  Health health_ = Health::kWell;
  std::optional<LedgerTrouble> trouble_;
  bool full_ = false;
};

}  // namespace dicom_sender
