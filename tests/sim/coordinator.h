// A coordinator process: the real service on a ledger that survives it, connected to the simulated network. If there
// are several coordinators, one of them is the leader under the real rules (coordinator/leadership/leader_lease.h),
// and the others are standbys.
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

// The address of a process. Other processes keep only weak references, which expire when the process ends.
struct Mailbox {
  std::string node;  // "w1", "c0": the name in links that can be cut
  std::function<void(const std::string& bytes, unsigned coordinator)> receive;
};

// Shared by all coordinators.
struct SimStore {
  std::function<std::unique_ptr<Ledger>(std::uint64_t epoch)> open;
  std::unique_ptr<Leadership> leadership;              // null: the only coordinator, which leads as long as it runs
  bool away = false;                                   // unreachable for all coordinators
  std::uint64_t restarts = 0;                          // each restart ends open transactions
  std::function<void(unsigned coordinator)> on_taken;  // it has become the leader
};

class SimCoordinator {
 public:
  SimCoordinator(World& world, Checker& checker, SimStore& store, unsigned number);

  const std::string& name() const { return name_; }
  void Start();
  // Simulates kill -9.
  void Kill();
  // Simulates SIGSTOP and, later, SIGCONT.
  void Stall(Duration duration);
  // Simulates SIGTERM. The process starts again some time after it has ended.
  void HandOver();
  TimePoint stalled_until() const { return stalled_until_; }
  bool runs() const { return process_ != nullptr; }
  // Whether it accepts connections.
  bool listens() const { return runs() && stalled_until_ <= world_.now(); }
  // A number for its current socket. Connections to an earlier socket are lost.
  std::uint64_t port() const { return port_; }
  // Whether it believes that it is the leader.
  bool Leads() const;
  // Whether it is a standby that can become the leader if there is no other one.
  bool CouldTake() const { return listens() && !process_->leading && !process_->ends && Reaches(); }
  // When its last leader lease expires or has expired, unless it handed over or crashed. No other coordinator leads
  // before that time.
  std::optional<TimePoint> lease_end() const { return lease_end_; }
  Ledger& ledger() { return *process_->leading->ledger; }  // only valid for the leader

  // Messages from the network are answered to the mailbox that is registered under `peer`, if that is still alive.
  void Register(const std::string& peer, const std::shared_ptr<Mailbox>& mailbox) { mailboxes_[peer] = mailbox; }
  void Send(const std::string& peer, const std::shared_ptr<Mailbox>& sender, std::uint64_t port, std::string bytes);

 private:
  struct Leading {
    Leading(std::uint64_t its_epoch, const std::optional<LeaderLease>& its_lease)
        : epoch(its_epoch), lease(its_lease) {}
    const std::uint64_t epoch;
    std::optional<LeaderLease> lease;  // nullopt: the only coordinator
    std::unique_ptr<FaultLedger> ledger;
    std::unique_ptr<Service> service;
    std::vector<PeerMessage> inbox;
    std::uint64_t wake = 0;  // only the latest wake-up counts
  };
  struct Process {
    explicit Process(Duration leader_timeout) : watch(leader_timeout) {}
    LeaderWatch watch;
    std::shared_ptr<Leading> leading;  // null: it is a standby
    bool ends = false;
  };
  struct Moment {
    TimePoint time, local;  // simulated time, and the time on its own clock
    std::uint64_t store_restarts = 0;
  };
  struct Delay {
    Duration there, back;  // on the way to the store, and for its answer
  };
  struct Arrived {
    PeerMessage incoming;
    std::weak_ptr<Mailbox> sender;
  };

  bool alone() const { return !store_.leadership; }
  // Runs in this process, later if the process is paused, and never if it has ended.
  void Do(const std::weak_ptr<Process>& life, std::function<void()> what);
  void At(TimePoint time, std::function<void()> what);
  void After(Duration delay, std::function<void()> what) { At(world_.now() + delay, std::move(what)); }
  // The same, but only while it is the leader.
  void AtWhileLeading(TimePoint time, std::function<void()> what);

  // The answer is nullopt if the store could not be reached, even if only the answer was lost.
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
  std::vector<Arrived> waiting_;  // for the next life of a single coordinator
  std::unordered_map<std::string, std::weak_ptr<Mailbox>> mailboxes_;
};

}  // namespace dicom_sender
