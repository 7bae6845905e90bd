#include "tests/sim/simulation.h"

#include <algorithm>
#include <list>

#include "coordinator/ledger/sqlite_ledger.h"
#include "tests/sim/checker.h"
#include "tests/sim/client.h"
#include "tests/sim/coordinator.h"
#include "tests/sim/destination.h"
#include "tests/sim/memory_ledger.h"
#include "tests/sim/worker.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {
namespace {

constexpr std::uint64_t kEventsMax = 500'000;  // more means that something goes round in circles

class Simulation {
 public:
  Simulation(std::uint64_t seed, const SimulationOptions& options)
      : world_(seed, options.trace), checker_(world_), coordinator_(world_, checker_, MakeLedger(options)) {
    for (unsigned i = 0; i < world_.plan.destinations; ++i)
      destinations_.emplace_back(world_, fmt::format("PACS{}", i));
    for (unsigned i = 0; i < world_.plan.workers; ++i) {
      workers_.emplace_back(world_, checker_, coordinator_, destinations_, i);
    }
    for (unsigned i = 0; i < world_.plan.sessions * world_.plan.indexers; ++i) {
      const unsigned session = i % world_.plan.sessions;
      clients_.emplace_back(world_, checker_, coordinator_, i, destinations_[session % destinations_.size()].name());
    }
  }

  SimulationResult Run() {
    SimulationResult result;
    try {
      Begin();
      RunUntil(world_.now() + world_.plan.faulty, result.events);
      Heal();
      RunUntil(world_.now() + world_.plan.settles_within, result.events);
      if (!Done()) throw Violation("it does not come to an end");
      checker_.Settled(coordinator_.ledger());
    } catch (const std::exception& error) {
      world_.Trace("VIOLATION: {}", error.what());
      result.violation = fmt::format("{} (after {} events, {} s)", error.what(), result.events,
                                     std::chrono::duration<double>(world_.now() - kSimBegin).count());
    }
    return result;
  }

 private:
  SimCoordinator::OpenLedger MakeLedger(const SimulationOptions& options) {
    if (!options.sqlite) return [this] { return store_.Open(); };
    folder_.emplace();
    return [this] {
      auto ledger = OpenSqliteLedger((*folder_ / "ledger.db").string());
      if (!ledger) throw LedgerError(ledger.error());
      return *std::move(ledger);
    };
  }

  void Begin() {
    coordinator_.Start();
    for (SimClient& client : clients_) client.Start();
    for (SimWorker& worker : workers_) {
      world_.events.After(world_.random.Between({}, std::chrono::seconds(5)), [&worker] { worker.Start(); });
    }
    PlanFaults();
  }

  // When everybody is content in the midst of the faults, there is nothing left that could go wrong.
  void RunUntil(TimePoint end, std::uint64_t& events) {
    while (!Done() && world_.events.RunNext(end)) {
      CheckBeliefs();
      if (++events > kEventsMax) throw Violation("far too much happens");
    }
  }

  // A request that comes late may open a session again after its client has seen it complete.
  bool Done() {
    const bool seen =
        std::all_of(clients_.begin(), clients_.end(), [](const SimClient& client) { return client.done(); });
    if (!seen || !coordinator_.running()) return false;
    const std::vector<SessionKey> sessions = coordinator_.ledger().Sessions();
    return std::all_of(sessions.begin(), sessions.end(), [this](SessionKey key) {
      return coordinator_.ledger().LoadSession(key).state == wire::SESSION_COMPLETE;
    });
  }

  // No two workers may believe at the same time that they may send the same study.
  void CheckBeliefs() {
    believed_.clear();
    for (const SimWorker& worker : workers_) worker.AddBelieved(believed_);
    std::sort(believed_.begin(), believed_.end());
    const auto twice = std::adjacent_find(believed_.begin(), believed_.end());
    if (twice != believed_.end()) throw Violation(fmt::format("study {} is being sent twice at a time", *twice));
  }

  // --- faults

  // `fault` happens now and then, `every` on average, as long as there are faults.
  void NowAndThen(Duration every, std::function<void()> fault) {
    if (every == Duration(0)) return;
    world_.events.After(world_.random.Between({}, every * 2), [this, every, fault = std::move(fault)] {
      if (world_.calm) return;
      fault();
      NowAndThen(every, fault);
    });
  }
  Duration AWhile() {
    const Duration ttl = world_.plan.scheduler.lease_ttl;
    return world_.random.OneIn(2) ? world_.random.Between({}, ttl / 4) : world_.random.Between({}, ttl * 2);
  }
  template <class List>
  auto& OneOf(List& list) {
    return *std::next(list.begin(), static_cast<std::ptrdiff_t>(world_.random.Below(list.size())));
  }

  void PlanFaults() {
    const Plan& plan = world_.plan;
    NowAndThen(plan.kill_worker, [this] {
      SimWorker& worker = OneOf(workers_);
      worker.Kill();
      world_.events.After(AWhile(), [&worker] { worker.Start(); });
    });
    NowAndThen(plan.stall_worker, [this] { OneOf(workers_).Stall(AWhile()); });
    NowAndThen(plan.drain_worker, [this] { OneOf(workers_).Drain(); });
    NowAndThen(plan.kill_coordinator, [this] {
      coordinator_.Kill();
      world_.events.After(AWhile(), [this] { coordinator_.Start(); });
    });
    NowAndThen(plan.kill_client, [this] {
      SimClient& client = OneOf(clients_);
      client.Kill();
      world_.events.After(AWhile(), [&client] { client.Start(); });
    });
    NowAndThen(plan.suspend, [this] { OneOf(clients_).Suspend(); });
    NowAndThen(plan.cancel, [this] { OneOf(clients_).Cancel(); });
    NowAndThen(plan.requeue, [this] { OneOf(clients_).Requeue(); });
    NowAndThen(plan.ask_to_drain, [this] { OneOf(clients_).DrainWorker(OneOf(workers_).name()); });
    NowAndThen(plan.cut_coordinator, [this] { CutForAWhile(OneOf(workers_).name(), "coordinator"); });
    NowAndThen(plan.cut_destination, [this] { CutForAWhile(OneOf(workers_).name(), OneOf(destinations_).name()); });
    NowAndThen(plan.destination_away, [this] {
      SimDestination& destination = OneOf(destinations_);
      destination.SetAway(true);
      world_.events.After(AWhile(), [&destination] { destination.SetAway(false); });
    });
  }
  void CutForAWhile(const std::string& a, const std::string& b) {
    world_.Trace("{} is cut off from {}", a, b);
    world_.Cut(a, b);
    world_.events.After(AWhile(), [this, a, b] {
      world_.Trace("{} is connected to {} again", a, b);
      world_.Mend(a, b);
    });
  }

  void Heal() {
    world_.Trace("the faults stop");
    world_.calm = true;
    world_.MendAll();
    for (SimDestination& destination : destinations_) destination.SetAway(false);
    coordinator_.Start();
    for (SimWorker& worker : workers_) worker.Start();
    for (SimClient& client : clients_) client.Start();
  }

  MemoryLedgerStore store_;
  std::optional<TemporaryFolder> folder_;
  World world_;
  Checker checker_;
  SimCoordinator coordinator_;
  std::vector<SimDestination> destinations_;
  std::list<SimWorker> workers_;
  std::list<SimClient> clients_;
  std::vector<std::string_view> believed_;
};

}  // namespace

SimulationResult RunSimulation(std::uint64_t seed, const SimulationOptions& options) {
  return Simulation(seed, options).Run();
}

}  // namespace dicom_sender
