// The coordinator's process: the real service on a ledger that outlives it, fed by the simulated network.
#pragma once

#include <deque>
#include <memory>

#include "coordinator/service/service.h"
#include "tests/sim/checker.h"
#include "tests/sim/fault_ledger.h"
#include "tests/sim/world.h"

namespace dicom_sender {

// A process that can be spoken to. Whoever keeps it, lives.
struct Mailbox {
  std::string node;  // "w1", "c0": for cuts
  std::function<void(const std::string& bytes)> receive;
};

class SimCoordinator {
 public:
  using OpenLedger = std::function<std::unique_ptr<Ledger>()>;
  SimCoordinator(World& world, Checker& checker, OpenLedger open_ledger)
      : world_(world), checker_(checker), open_ledger_(std::move(open_ledger)) {}

  void Start();
  // As by kill -9.
  void Kill();
  bool running() const { return service_ != nullptr; }

  // What the network brings is answered to the mailbox that is registered under `peer` and still alive.
  void Register(const std::string& peer, const std::shared_ptr<Mailbox>& mailbox) { mailboxes_[peer] = mailbox; }
  void Send(const std::string& peer, const std::shared_ptr<Mailbox>& sender, std::string bytes);

  Ledger& ledger() { return *ledger_; }

 private:
  struct Arrived {
    Incoming incoming;
    std::weak_ptr<Mailbox> sender;
  };

  void Take(Incoming incoming);
  void WakeBy(TimePoint time);
  void Step();
  void Speak(const StepResult& result);
  void Tell(const std::string& peer, std::string bytes);
  void Fail(const LedgerError& error);
  LedgerFault DrawLedgerFault();

  World& world_;
  Checker& checker_;
  const OpenLedger open_ledger_;
  std::unique_ptr<FaultLedger> ledger_;
  std::unique_ptr<Service> service_;
  std::uint64_t life_ = 0;  // grows with each death
  std::uint64_t wake_ = 0;  // of the wake-ups only the last one counts
  std::vector<Incoming> inbox_;
  std::vector<Arrived> waiting_;  // for the next life
  std::unordered_map<std::string, std::weak_ptr<Mailbox>> mailboxes_;
};

}  // namespace dicom_sender
