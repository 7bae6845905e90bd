#include "tests/sim/coordinator.h"

#include <prometheus/registry.h>

namespace dicom_sender {
namespace {

constexpr std::size_t kMessagesPerStepMax = 64;  // as in the coordinator's loop

WallTime Wall(TimePoint now) {
  return WallTime(std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()));
}

// The metrics are not what is proved here: all coordinators of this process share them.
CoordinatorMetrics& Metrics() {
  static prometheus::Registry registry;
  static CoordinatorMetrics metrics(registry);
  return metrics;
}

}  // namespace

void SimCoordinator::Start() {
  if (running()) return;
  try {
    ledger_ = std::make_unique<FaultLedger>(open_ledger_());
    ledger_->FailNext(DrawLedgerFault());
    service_ = std::make_unique<Service>(*ledger_, world_.plan.scheduler, Metrics(), /*output_dir=*/"");
    world_.Trace("coordinator starts");
    checker_.Restarted(*ledger_);
    const StepResult result = service_->ResumeSessions(world_.now(), Wall(world_.now()));
    checker_.Committed(*ledger_, *service_);
    Speak(result);
  } catch (const LedgerError& error) {
    return Fail(error);
  }
  for (Arrived& arrived : std::exchange(waiting_, {})) {
    if (!arrived.sender.expired()) Take(std::move(arrived.incoming));
  }
}

void SimCoordinator::Kill() {
  if (running()) world_.Trace("coordinator dies");
  service_.reset();
  ledger_.reset();
  inbox_.clear();
  ++life_;
  ++wake_;
}

void SimCoordinator::Fail(const LedgerError& error) {
  world_.Trace("coordinator stops: {}", error.what());
  Kill();
  world_.events.After(world_.random.Between(std::chrono::milliseconds(10), std::chrono::seconds(10)),
                      [this] { Start(); });
}

void SimCoordinator::Send(const std::string& peer, const std::shared_ptr<Mailbox>& sender, std::string bytes) {
  world_.Carry(
      [this, life = life_, node = sender->node, arrived = Arrived{{peer, std::move(bytes)}, sender}]() mutable {
        if (life != life_ || world_.IsCut(node, "coordinator")) return;
        if (running()) return Take(arrived.incoming);
        waiting_.push_back(arrived);
      });
}

void SimCoordinator::Take(Incoming incoming) {
  inbox_.push_back(std::move(incoming));
  // What comes until it is looked at is handled in one step.
  if (inbox_.size() == 1) {
    WakeBy(world_.now() + world_.random.Between({}, std::chrono::milliseconds(world_.random.OneIn(4) ? 20 : 1)));
  }
}

void SimCoordinator::WakeBy(TimePoint time) {
  world_.events.At(time, [this, wake = ++wake_] {
    if (wake == wake_) Step();
  });
}

LedgerFault SimCoordinator::DrawLedgerFault() {
  if (!world_.Fault(world_.plan.disk_full)) return LedgerFault::kNone;
  constexpr LedgerFault kFaults[] = {LedgerFault::kBegin, LedgerFault::kOutcomes, LedgerFault::kCommitLost,
                                     LedgerFault::kCommitKept};
  return kFaults[world_.random.Below(std::size(kFaults))];
}

void SimCoordinator::Step() {
  std::vector<Incoming> messages = std::exchange(inbox_, {});
  if (messages.size() > kMessagesPerStepMax) {
    inbox_.assign(messages.begin() + kMessagesPerStepMax, messages.end());
    messages.resize(kMessagesPerStepMax);
  }
  StepResult result;
  try {
    ledger_->FailNext(DrawLedgerFault());
    result = service_->Step(messages, world_.now(), Wall(world_.now()));
    checker_.Committed(*ledger_, *service_);
  } catch (const LedgerError& error) {
    return Fail(error);
  }
  if (world_.Fault(world_.plan.crash_before_replies)) return Fail(LedgerError("killed before it could reply"));
  Speak(result);
}

void SimCoordinator::Speak(const StepResult& result) {
  for (const Outgoing& outgoing : result.messages) {
    checker_.Spoken(*ledger_, outgoing);
    if (world_.tracing()) world_.Trace("coordinator to {}: {}", outgoing.peer, outgoing.message.ShortDebugString());
    Tell(outgoing.peer, outgoing.message.SerializeAsString());
  }
  if (!inbox_.empty()) return WakeBy(world_.now());
  if (!result.wake_at) return;
  if (*result.wake_at <= world_.now()) throw Violation("the coordinator asks to be woken in the past");
  WakeBy(*result.wake_at);
}

void SimCoordinator::Tell(const std::string& peer, std::string bytes) {
  world_.Carry([this, peer, bytes = std::move(bytes)] {
    const auto mailbox = mailboxes_[peer].lock();
    if (mailbox && !world_.IsCut(mailbox->node, "coordinator")) mailbox->receive(bytes);
  });
}

}  // namespace dicom_sender
