#include "tests/sim/coordinator.h"

#include <prometheus/registry.h>

#include "proto/validate.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kMessagesPerStepMax = 64;  // as in the coordinator's loop

WallTime Wall(TimePoint now) { return WallTime(std::chrono::duration_cast<milliseconds>(now.time_since_epoch())); }

// All coordinators of this process share the metrics, which are not tested here.
CoordinatorMetrics& Metrics() {
  static prometheus::Registry registry;
  static CoordinatorMetrics metrics(registry);
  return metrics;
}

}  // namespace

SimCoordinator::SimCoordinator(World& world, Checker& checker, SimStore& store, unsigned number)
    : world_(world),
      checker_(checker),
      store_(store),
      number_(number),
      name_(fmt::format("k{}", number)),
      clock_(world) {}

// --- process

void SimCoordinator::Start() {
  if (process_) return;
  world_.Trace("{} starts", name_);
  process_ = std::make_shared<Process>(world_.plan.leader_timeout);
  stalled_until_ = {};
  if (alone()) return Lead(/*epoch=*/0, /*lease=*/{});
  ++port_;
  Look();
}

void SimCoordinator::Kill() {
  if (process_) world_.Trace("{} dies", name_);
  process_.reset();
  lease_end_.reset();
  ++port_;
}

void SimCoordinator::Stall(Duration duration) {
  if (!process_ || stalled_until_ > world_.now()) return;
  world_.Trace("{} stalls for {} s", name_, std::chrono::duration<double>(duration).count());
  stalled_until_ = world_.now() + duration;
}

void SimCoordinator::Do(const std::weak_ptr<Process>& life, std::function<void()> what) {
  const auto process = life.lock();
  if (!process || process != process_) return;
  if (stalled_until_ <= world_.now()) return what();
  world_.events.At(stalled_until_, [this, life, what = std::move(what)] { Do(life, what); });
}

void SimCoordinator::At(TimePoint time, std::function<void()> what) {
  world_.events.At(time, [this, life = std::weak_ptr(process_), what = std::move(what)] { Do(life, what); });
}

void SimCoordinator::AtWhileLeading(TimePoint time, std::function<void()> what) {
  At(time, [this, leading = std::weak_ptr(process_->leading), what = std::move(what)] {
    if (!leading.expired()) what();
  });
}

Duration SimCoordinator::AWhile() { return world_.random.Between({}, world_.plan.leader_timeout * 3); }

// --- leadership

// If the store is reachable, it answers within an eighth of the leader timeout, which a takeover in time requires.
Duration SimCoordinator::TripToStore() { return std::min(world_.Trip(), world_.plan.leader_timeout / 16); }

template <class Answer>
void SimCoordinator::AskStore(std::function<Answer(Leadership&)> question,
                              std::function<void(std::optional<Answer>)> then, const Delay& delay) {
  const bool given_up = delay.there + delay.back >= world_.plan.leader_timeout;
  // The request is in flight even if the process ends.
  world_.events.After(TripToStore() + delay.there, [=, this, life = std::weak_ptr(process_)] {
    std::optional<Answer> answer;
    if (Reaches()) answer.emplace(question(*store_.leadership));
    if (given_up) return;
    world_.events.After(TripToStore() + delay.back,
                        [=, this] { Do(life, [=, this] { then(Reaches() ? answer : std::nullopt); }); });
  });
  if (given_up) After(world_.plan.leader_timeout, [then = std::move(then)] { then(std::nullopt); });
}

void SimCoordinator::LookLater() {
  const Duration timeout = world_.plan.leader_timeout;
  After(world_.random.Between(timeout / 16, timeout / 4), [this] { Look(); });
}

void SimCoordinator::Look() {
  if (process_->ends) return End();
  AskStore<LeaderRecord>([](Leadership& leadership) { return leadership.Look(); },
                         [this](const std::optional<LeaderRecord>& record) {
                           if (!record || !process_->watch.MayTakeOver(*record, clock_.Now())) return LookLater();
                           Take(*record);
                         });
}

void SimCoordinator::Take(const LeaderRecord& seen) {
  using Taken = std::optional<LeaderRecord>;
  AskStore<Taken>(
      [seen, this](Leadership& leadership) {
        auto taken = leadership.Take(seen, name_);
        if (taken) store_.on_taken(number_);
        return taken;
      },
      [this, sent_at = clock_.Now()](const std::optional<Taken>& taken) {
        if (!taken || !*taken) return LookLater();
        if (process_->ends) return Release((*taken)->epoch);
        Lead((*taken)->epoch, LeaderLease(world_.plan.leader_timeout, sent_at));
      });
}

void SimCoordinator::RenewLater() {
  const LeaderLease& lease = *process_->leading->lease;
  const TimePoint at = std::max(lease.renew_at(), clock_.Now() + world_.plan.leader_timeout / 16);
  AtWhileLeading(clock_.When(at), [this] { Renew(); });
}

void SimCoordinator::Renew() {
  const Duration timeout = world_.plan.leader_timeout;
  Delay delay{};
  if (world_.Fault(world_.plan.hang_renewal)) {
    // A request that is given up may still arrive, but not much later, because the connection is closed.
    world_.random.OneIn(2) ? delay.there = world_.random.Between({}, timeout)
                           : delay.back = world_.random.Between({}, timeout * 2);
  }
  AskStore<bool>(
      [epoch = process_->leading->epoch](Leadership& leadership) { return leadership.Renew(epoch); },
      [this, sent_at = clock_.Now(), leading = std::weak_ptr(process_->leading)](std::optional<bool> answer) {
        if (leading.expired()) return;
        answer ? Renewed(sent_at, *answer) : RenewLater();
      },
      delay);
}

void SimCoordinator::Renewed(TimePoint sent_at, bool renewed) {
  if (!renewed) return StepDown("another one leads");
  if (!Leads()) return StepDown("its leader lease has expired");
  process_->leading->lease->Renewed(sent_at);
  EndLeaseInTime();
  RenewLater();
}

void SimCoordinator::EndLeaseInTime() {
  lease_end_ = clock_.When(process_->leading->lease->expires_at());
  AtWhileLeading(*lease_end_, [this] {
    if (!Leads()) StepDown("its leader lease has expired");
  });
}

bool SimCoordinator::Leads() const {
  if (!process_ || !process_->leading) return false;
  const auto& lease = process_->leading->lease;
  return !lease || lease->IsValid(clock_.Now());
}

void SimCoordinator::Lead(std::uint64_t epoch, std::optional<LeaderLease> lease) {
  world_.Trace("{} leads, epoch {}", name_, epoch);
  if (!alone()) ++port_;
  process_->leading = std::make_shared<Leading>(epoch, lease);
  Leading& leading = *process_->leading;
  StepResult result;
  try {
    leading.ledger = std::make_unique<FaultLedger>(store_.open(epoch));
    leading.ledger->FailNext(DrawLedgerFault(/*is_open=*/false));
    leading.service = std::make_unique<Service>(*leading.ledger, world_.plan.scheduler, Metrics(), /*output_dir=*/"");
    checker_.Restarted(*leading.ledger);
    result = leading.service->ResumeSessions(clock_.Now(), Wall(clock_.Now()));
    checker_.Committed(*leading.ledger, *leading.service);
  } catch (const LedgerError& error) {
    return Fail(error);
  }
  if (lease) {
    EndLeaseInTime();
    RenewLater();
  }
  Speak(result);
  for (Arrived& arrived : std::exchange(waiting_, {})) {
    if (!arrived.sender.expired()) Receive(std::move(arrived.incoming));
  }
}

void SimCoordinator::StepDown(std::string_view why) {
  world_.Trace("{} steps down: {}", name_, why);
  process_->leading.reset();
  ++port_;
  LookLater();
}

void SimCoordinator::HandOver() {
  if (!process_) return;
  After({}, [this] {
    world_.Trace("{} hands over", name_);
    process_->ends = true;
    const auto leading = std::exchange(process_->leading, nullptr);
    lease_end_.reset();
    if (alone()) return End();
    if (leading) Release(leading->epoch);  // otherwise the next look ends it
  });
}

void SimCoordinator::Release(std::uint64_t epoch) {
  AskStore<bool>([epoch](Leadership& leadership) { return leadership.Release(epoch); },
                 [this](std::optional<bool>) { End(); });
}

void SimCoordinator::End() {
  Kill();
  world_.events.After(world_.random.Between({}, world_.plan.leader_timeout), [this] { Start(); });
}

void SimCoordinator::Fail(const LedgerError& error) {
  if (!alone()) return StepDown(error.what());
  world_.Trace("{} stops: {}", name_, error.what());
  Kill();
  world_.events.After(world_.random.Between(milliseconds(10), seconds(10)), [this] { Start(); });
}

// --- messages

void SimCoordinator::Send(const std::string& peer, const std::shared_ptr<Mailbox>& sender, std::uint64_t port,
                          std::string bytes) {
  world_.Carry([this, port, node = sender->node, arrived = Arrived{{peer, std::move(bytes)}, sender}]() mutable {
    if (port != port_ || world_.IsCut(node, name_)) return;
    if (!process_) {
      if (alone()) waiting_.push_back(arrived);
      return;
    }
    Do(process_, [this, port, arrived] {
      if (port == port_) Receive(arrived.incoming);
    });
  });
}

void SimCoordinator::Receive(PeerMessage incoming) {
  if (!process_->leading) {
    wire::NotLeading not_leading;
    return Tell(incoming.peer, Envelope(not_leading).SerializeAsString());
  }
  std::vector<PeerMessage>& inbox = process_->leading->inbox;
  inbox.push_back(std::move(incoming));
  // Messages that arrive before the step are handled together.
  if (inbox.size() == 1) {
    WakeBy(world_.now() + world_.random.Between({}, milliseconds(world_.random.OneIn(4) ? 20 : 1)));
  }
}

void SimCoordinator::WakeBy(TimePoint time) {
  AtWhileLeading(time, [this, wake = ++process_->leading->wake] {
    if (wake == process_->leading->wake) Step();
  });
}

// `is_open`: whether the transaction has already begun.
LedgerFault SimCoordinator::DrawLedgerFault(bool is_open) {
  if (!Reaches() && !is_open) return LedgerFault::kBegin;
  if (!Reaches()) return world_.random.OneIn(2) ? LedgerFault::kCommitLost : LedgerFault::kCommitKept;
  if (!world_.Fault(world_.plan.disk_full)) return LedgerFault::kNone;
  constexpr LedgerFault kFaults[] = {LedgerFault::kBegin, LedgerFault::kOutcomes, LedgerFault::kCommitLost,
                                     LedgerFault::kCommitKept};
  return kFaults[world_.random.Below(std::size(kFaults))];
}

void SimCoordinator::Step() {
  if (!Leads()) return StepDown("its leader lease has expired");
  std::vector<PeerMessage>& inbox = process_->leading->inbox;
  std::vector<PeerMessage> messages = std::exchange(inbox, {});
  if (messages.size() > kMessagesPerStepMax) {
    inbox.assign(messages.begin() + kMessagesPerStepMax, messages.end());
    messages.resize(kMessagesPerStepMax);
  }
  if (!world_.Fault(world_.plan.pause_before_commit))
    return FinishStep(messages, {world_.now(), clock_.Now(), store_.restarts});
  // Begins the transaction now. The rest of the step may run later, because nothing is visible before the commit.
  try {
    process_->leading->ledger->BeginEarly();
  } catch (const LedgerError& error) {
    return Fail(error);
  }
  Stall(AWhile());
  AtWhileLeading(stalled_until_, [=, this, begin = Moment{world_.now(), clock_.Now(), store_.restarts}] {
    FinishStep(messages, begin);
  });
}

void SimCoordinator::FinishStep(const std::vector<PeerMessage>& messages, const Moment& begin) {
  Leading& leading = *process_->leading;
  if (leading.lease && !leading.lease->IsValid(begin.local)) {
    throw Violation(fmt::format("{} handles messages though its leader lease has expired", name_));
  }
  StepResult result;
  try {
    const bool is_open = begin.time < world_.now();
    leading.ledger->FailNext(begin.store_restarts == store_.restarts ? DrawLedgerFault(is_open)
                                                                     : LedgerFault::kCommitLost);
    result = leading.service->Step(messages, begin.local, Wall(begin.local));
    checker_.Committed(*leading.ledger, *leading.service);
  } catch (const LedgerError& error) {
    return Fail(error);
  }
  if (result.wake_at && *result.wake_at <= begin.local) throw Violation("a coordinator asks to be woken in the past");
  if (world_.Fault(world_.plan.crash_before_replies)) return End();
  for (const Outgoing& outgoing : result.messages) {
    if (world_.tracing()) world_.Trace("{} to {}: {}", name_, outgoing.peer, outgoing.message.ShortDebugString());
    checker_.Spoken(*leading.ledger, outgoing, begin.time);
  }
  if (!world_.Fault(world_.plan.pause_before_replies)) return Speak(result);
  Stall(AWhile());
  AtWhileLeading(stalled_until_, [this, result] { Speak(result); });
}

void SimCoordinator::Speak(const StepResult& result) {
  if (!Leads()) return StepDown("its leader lease has expired");  // the process may have been paused meanwhile
  for (const Outgoing& outgoing : result.messages) Say(outgoing);
  if (!process_->leading->inbox.empty()) return WakeBy(world_.now());
  if (result.wake_at) WakeBy(clock_.When(*result.wake_at));
}

void SimCoordinator::Say(const Outgoing& outgoing) {
  if (!Leads()) throw Violation(fmt::format("{} speaks as the leader though its leader lease has expired", name_));
  Tell(outgoing.peer, outgoing.message.SerializeAsString());
}

void SimCoordinator::Tell(const std::string& peer, std::string bytes) {
  world_.Carry([this, peer, bytes = std::move(bytes)] {
    const auto mailbox = mailboxes_[peer].lock();
    if (mailbox && !world_.IsCut(mailbox->node, name_)) mailbox->receive(bytes, number_);
  });
}

}  // namespace dicom_sender
