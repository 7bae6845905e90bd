// A coordinator's process: the real service on a ledger that outlives it, fed by the simulated network. Where there
// are several, one leads, by the real rules (coordinator/leadership/leader_lease.h), and the others stand by.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "coordinator/leadership/leader_lease.h"
#include "coordinator/service/service.h"
#include "tests/sim/checker.h"
#include "tests/sim/fault_ledger.h"
#include "tests/sim/world.h"

namespace dicom_sender {

// A process that can be spoken to. Whoever keeps it, lives.
struct Mailbox {
  std::string node;  // "w1", "c0": for cuts
  std::function<void(const std::string& bytes, unsigned coordinator)> receive;
};

// What all coordinators share.
struct SimStore {
  std::function<std::unique_ptr<Ledger>(std::uint64_t epoch)> open;
  std::unique_ptr<Leadership> leadership;  // null: there is one coordinator, which leads as long as it runs
  bool away = false;                       // for everybody
  std::uint64_t restarts = 0;              // each of them ends what is open
  std::function<void(unsigned coordinator)> on_taken;  // has become its leader
};

class SimCoordinator {
 public:
  SimCoordinator(World& world, Checker& checker, SimStore& store, unsigned number);

  const std::string& name() const { return name_; }
  void Start();
  // As by kill -9.
  void Kill();
  // As by SIGSTOP and, later, SIGCONT.
  void Stall(Duration duration);
  // As by SIGTERM; starts again some time after it has ended.
  void HandOver();
  TimePoint stalled_until() const { return stalled_until_; }
  bool runs() const { return process_ != nullptr; }
  // It takes connections.
  bool listens() const { return runs() && stalled_until_ <= world_.now(); }
  // A number for the socket that it has now. Connections to an earlier one are lost.
  std::uint64_t port() const { return port_; }
  // By its own view.
  bool Leads() const;
  // It stands by, and nothing keeps it from leading if nobody else does.
  bool CouldTake() const { return listens() && !process_->leading && !process_->ends && Reaches(); }
  // When its last leader lease expires or has expired, unless it handed over or died. Nobody else leads before.
  std::optional<TimePoint> lease_end() const { return lease_end_; }
  Ledger& ledger() { return *process_->leading->ledger; }  // if it leads

  // What the network brings is answered to the mailbox that is registered under `peer` and still alive.
  void Register(const std::string& peer, const std::shared_ptr<Mailbox>& mailbox) { mailboxes_[peer] = mailbox; }
  void Send(const std::string& peer, const std::shared_ptr<Mailbox>& sender, std::uint64_t port, std::string bytes);

 private:
  struct Leading {
    Leading(std::uint64_t its_epoch, const std::optional<LeaderLease>& its_lease)
        : epoch(its_epoch), lease(its_lease) {}
    const std::uint64_t epoch;
    std::optional<LeaderLease> lease;  // none: it is alone
    std::unique_ptr<FaultLedger> ledger;
    std::unique_ptr<Service> service;
    std::vector<PeerMessage> inbox;
    std::uint64_t wake = 0;  // of the wake-ups only the last one counts
  };
  struct Process {
    explicit Process(Duration leader_timeout) : watch(leader_timeout) {}
    LeaderWatch watch;
    std::shared_ptr<Leading> leading;  // null: it stands by
    bool ends = false;
  };
  struct Moment {
    TimePoint time, local;  // of the simulation, and as its clock shows
    std::uint64_t store_restarts = 0;
  };
  struct Delay {
    Duration there, back;  // on the way to the store, and of its answer; zero by Delay{}
  };
  struct Arrived {
    PeerMessage incoming;
    std::weak_ptr<Mailbox> sender;
  };

  bool alone() const { return !store_.leadership; }
  // Happens in this process, later if it is stalled, never if it is dead.
  void Do(const std::weak_ptr<Process>& life, std::function<void()> what);
  void At(TimePoint time, std::function<void()> what);
  void After(Duration delay, std::function<void()> what) { At(world_.now() + delay, std::move(what)); }
  // The same, if it still leads.
  void AtWhileLeading(TimePoint time, std::function<void()> what);

  // The answer is empty if the store could not be reached, even if only the answer was lost.
  template <class Answer>
  void AskStore(std::function<Answer(Leadership&)> question, std::function<void(std::optional<Answer>)> then,
                const Delay& delay = Delay{});
  Duration TripToStore();
  bool Reaches() const { return !store_.away && !world_.IsCut(name_, "store"); }
  void LookLater();
  void Look();
  void Take(const LeaderRecord& seen);
  void RenewLater();
  void Renew();
  void Renewed(TimePoint sent_at, bool renewed);
  void EndLeaseInTime();

  void Lead(std::uint64_t epoch, std::optional<LeaderLease> lease);
  void StepDown(std::string_view why);
  void Release(std::uint64_t epoch);
  void End();
  void Fail(const LedgerError& error);

  void Receive(PeerMessage incoming);
  void WakeBy(TimePoint time);
  void Step();
  void FinishStep(const std::vector<PeerMessage>& messages, const Moment& begin);
  void Speak(const StepResult& result);
  void Say(const Outgoing& outgoing);
  void Tell(const std::string& peer, std::string bytes);
  LedgerFault DrawLedgerFault(bool is_open);
  Duration AWhile();

  World& world_;
  Checker& checker_;
  SimStore& store_;
  const unsigned number_;
  const std::string name_;
  const SimClock clock_;
  std::shared_ptr<Process> process_;
  TimePoint stalled_until_;
  std::optional<TimePoint> lease_end_;
  std::uint64_t port_ = 0;
  std::vector<Arrived> waiting_;  // for the next life, if it is alone
  std::unordered_map<std::string, std::weak_ptr<Mailbox>> mailboxes_;
};

}  // namespace dicom_sender
