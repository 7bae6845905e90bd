#include "tests/sim/simulation.h"

#include <algorithm>
#include <list>
#include <map>

#include "tests/sim/checker.h"
#include "tests/sim/client.h"
#include "tests/sim/coordinators.h"
#include "tests/sim/destination.h"
#include "tests/sim/worker.h"

namespace dicom_sender {
namespace {

constexpr std::uint64_t kEventsMax = 500'000;  // more events indicate an endless loop

class Simulation {
 public:
  Simulation(std::uint64_t seed, const SimulationOptions& options)
      : world_(seed, options.sqlite, options.trace), checker_(world_), coordinators_(world_, checker_, options) {
    world_.asks_by_echo = options.echo;
    world_.tells_unreadable = options.unreadable;
    for (unsigned i = 0; i < world_.plan.destinations; ++i)
      destinations_.emplace_back(world_, fmt::format("PACS{}", i));
    for (unsigned i = 0; i < world_.plan.workers; ++i) {
      workers_.emplace_back(world_, checker_, coordinators_, destinations_, i);
    }
    for (unsigned i = 0; i < world_.plan.sessions * world_.plan.indexers; ++i) {
      const unsigned session = i % world_.plan.sessions;
      clients_.emplace_back(world_, checker_, coordinators_, i, destinations_[session % destinations_.size()].name());
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
      checker_.Settled(coordinators_.Leader()->ledger());
    } catch (const std::exception& error) {
      world_.Trace("VIOLATION: {}", error.what());
      result.violation = fmt::format("{} (after {} events, {} s)", error.what(), result.events,
                                     std::chrono::duration<double>(world_.now() - kSimBegin).count());
    }
    return result;
  }

 private:
  void Begin() {
    for (SimCoordinator& coordinator : coordinators_.list()) coordinator.Start();
    for (SimClient& client : clients_) client.Start();
    for (SimWorker& worker : workers_) {
      world_.events.After(world_.random.Between({}, std::chrono::seconds(5)), [&worker] { worker.Start(); });
    }
    PlanFaults();
  }

  // Runs until the end or until everything is done: no fault can break anything after that.
  void RunUntil(TimePoint end, std::uint64_t& events) {
    while (!Done() && world_.events.RunNext(end)) {
      CheckBeliefs();
      CheckFailOver();
      if (++events > kEventsMax) throw Violation("too many events");
    }
  }

  // A late request may reopen a session after its client has seen it complete.
  bool Done() {
    const bool seen =
        std::all_of(clients_.begin(), clients_.end(), [](const SimClient& client) { return client.done(); });
    SimCoordinator* leader = coordinators_.Leader();
    if (!seen || !leader) return false;
    const std::vector<SessionKey> sessions = leader->ledger().Sessions();
    return std::all_of(sessions.begin(), sessions.end(), [leader](SessionKey key) {
      return leader->ledger().LoadSession(key).state == wire::SESSION_COMPLETE;
    });
  }

  // Two workers must never believe at the same time that they may send the same study.
  void CheckBeliefs() {
    believed_.clear();
    for (const SimWorker& worker : workers_) worker.AddBelieved(believed_);
    std::sort(believed_.begin(), believed_.end());
    const auto twice = std::adjacent_find(believed_.begin(), believed_.end());
    if (twice != believed_.end())
      throw Violation(fmt::format("study {} is being sent twice at the same time", *twice));
  }

  // At most three leader timeouts after a leader was lost, another one must be elected, or must have tried, if any
  // coordinator was able to lead all the time.
  void CheckFailOver() {
    if (coordinators_.size() == 1) return;
    const TimePoint now = world_.now();
    const std::uint64_t epoch = coordinators_.store().leadership->Look().epoch;
    const bool led = coordinators_.Leader() != nullptr;
    if (led || led_ || epoch != epoch_) unled_since_ = now;
    led_ = led;
    epoch_ = epoch;
    for (const SimCoordinator& coordinator : coordinators_.list()) {
      std::optional<TimePoint>& since = could_take_since_[&coordinator];
      if (!coordinator.CouldTake()) {
        since.reset();
      } else if (!since) {
        since = now;
      } else if (now - std::max(*since, unled_since_) > world_.plan.leader_timeout * 3) {
        throw Violation(fmt::format("no leader, although {} could have taken over", coordinator.name()));
      }
    }
  }

  // --- faults

  // Repeats `fault` at random intervals with an average of `every`, as long as faults are enabled.
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
      SimCoordinator& coordinator = OneOf(coordinators_.list());
      coordinator.Kill();
      world_.events.After(AWhile(), [&coordinator] { coordinator.Start(); });
    });
    NowAndThen(plan.stall_coordinator, [this] { OneOf(coordinators_.list()).Stall(AWhile()); });
    NowAndThen(plan.hand_over, [this] { OneOf(coordinators_.list()).HandOver(); });
    NowAndThen(plan.isolate_coordinator, [this] { Isolate(OneOf(coordinators_.list()).name()); });
    if (plan.storage_away > Duration(0)) PlanStorageOutage();
    if (coordinators_.size() > 1) PlanFaultsOfTheStore();
    NowAndThen(plan.kill_client, [this] {
      SimClient& client = OneOf(clients_);
      client.Kill();
      world_.events.After(AWhile(), [&client] { client.Start(); });
    });
    NowAndThen(plan.suspend, [this] { OneOf(clients_).Suspend(); });
    NowAndThen(plan.cancel, [this] { OneOf(clients_).Cancel(); });
    NowAndThen(plan.requeue, [this] { OneOf(clients_).Requeue(); });
    NowAndThen(plan.ask_to_drain, [this] { OneOf(clients_).DrainWorker(OneOf(workers_).name()); });
    NowAndThen(plan.cut_coordinator,
               [this] { CutForAWhile(OneOf(workers_).name(), OneOf(coordinators_.list()).name()); });
    NowAndThen(plan.cut_destination, [this] { CutForAWhile(OneOf(workers_).name(), OneOf(destinations_).name()); });
    NowAndThen(plan.destination_away, [this] {
      SimDestination& destination = OneOf(destinations_);
      destination.SetAway(true);
      world_.events.After(AWhile(), [&destination] { destination.SetAway(false); });
    });
  }
  // Happens only once: a session that could not read anything between two outages would see a single, longer one.
  void PlanStorageOutage() {
    world_.events.After(world_.random.Between({}, world_.plan.faulty), [this] {
      world_.Trace("the storage is away");
      world_.storage_away = true;
      world_.events.After(world_.plan.storage_away, [this] {
        world_.Trace("the storage is back");
        world_.storage_away = false;
      });
    });
  }
  void PlanFaultsOfTheStore() {
    NowAndThen(world_.plan.cut_store, [this] { CutForAWhile(OneOf(coordinators_.list()).name(), "store"); });
    NowAndThen(world_.plan.store_away, [this] {
      SetStoreAway(true);
      world_.events.After(AWhile(), [this] { SetStoreAway(false); });
    });
  }
  void SetStoreAway(bool away) {
    SimStore& store = coordinators_.store();
    if (store.away != away) world_.Trace("the store is {}", away ? "away" : "back");
    if (away && !store.away) ++store.restarts;
    store.away = away;
  }
  // Workers and clients cannot reach the coordinator, but it still reaches the store.
  void Isolate(const std::string& coordinator) {
    for (const SimWorker& worker : workers_) CutForAWhile(worker.name(), coordinator);
    for (const SimClient& client : clients_) CutForAWhile(client.name(), coordinator);
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
    world_.calm_since = world_.now();
    world_.MendAll();
    for (SimDestination& destination : destinations_) destination.SetAway(false);
    SetStoreAway(false);
    for (SimCoordinator& coordinator : coordinators_.list()) coordinator.Start();
    for (SimWorker& worker : workers_) worker.Start();
    for (SimClient& client : clients_) client.Start();
  }

  World world_;
  Checker checker_;
  Coordinators coordinators_;
  std::vector<SimDestination> destinations_;
  std::list<SimWorker> workers_;
  std::list<SimClient> clients_;
  std::vector<std::string_view> believed_;

  // State of CheckFailOver after the last event.
  bool led_ = false;
  std::uint64_t epoch_ = 0;
  TimePoint unled_since_ = kSimBegin;
  std::map<const SimCoordinator*, std::optional<TimePoint>> could_take_since_;
};

}  // namespace

SimulationResult RunSimulation(std::uint64_t seed, const SimulationOptions& options) {
  return Simulation(seed, options).Run();
}

}  // namespace dicom_sender
