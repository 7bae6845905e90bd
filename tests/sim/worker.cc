#include "tests/sim/worker.h"

#include "dicom/dimse_status.h"
#include "proto/validate.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr unsigned kLossesMax = 3;           // the same as in study_sender.cc
constexpr seconds kStatusEveryOfSeveral(2);  // the same as in worker_loop.cc

}  // namespace

SimWorker::SimWorker(World& world, Checker& checker, Coordinators& coordinators,
                     std::vector<SimDestination>& destinations, unsigned number)
    : world_(world),
      checker_(checker),
      coordinators_(coordinators),
      destinations_(destinations),
      name_(fmt::format("w{}", number)),
      capacity_(world.random.From(1, world.plan.capacity_max)),
      clock_(world) {}

// --- the process

void SimWorker::Start() {
  if (process_) return;
  ++lives_;
  AgentOptions options{.worker_id = name_, .incarnation = lives_, .capacity = capacity_};
  if (coordinators_.size() > 1) options.status_every_max = kStatusEveryOfSeveral;
  process_ = std::make_shared<Process>(std::move(options));
  stalled_until_ = {};
  process_->mailbox = std::make_shared<Mailbox>();
  process_->mailbox->node = name_;
  process_->mailbox->receive = [this, life = std::weak_ptr(process_)](const std::string& bytes,
                                                                      unsigned coordinator) {
    Do(life, [=, this] { Receive(bytes, coordinator); });
  };
  process_->channel.emplace(
      world_, coordinators_, fmt::format("{}.{}", name_, lives_), process_->mailbox,
      [this](Duration delay, std::function<void()> what) { Later(delay, std::move(what)); },
      [this] { process_->agent.SpeakAgain(); });
  world_.Trace("{} starts, life {}", name_, lives_);
  Step();
}

void SimWorker::Kill() {
  if (process_) world_.Trace("{} dies", name_);
  process_.reset();
}

void SimWorker::Stall(Duration duration) {
  if (!process_ || stalled_until_ > world_.now()) return;
  world_.Trace("{} stalls for {} s", name_, std::chrono::duration<double>(duration).count());
  stalled_until_ = world_.now() + duration;
  Later(duration, [this] { world_.Trace("{} goes on", name_); });
}

void SimWorker::Drain() {
  if (!process_ || process_->draining) return;
  Later({}, [this] { StartDraining(); });
}

void SimWorker::StartDraining() {
  world_.Trace("{} drains", name_);
  process_->draining = true;
  process_->agent.Drain();
  for (auto& [lease, sender] : process_->senders) sender.stop = true;
}

void SimWorker::EndIfDrained() {
  if (!process_->draining || process_->agent.leases() > 0) return;
  Kill();
  world_.events.After(world_.random.Between({}, world_.plan.scheduler.lease_ttl), [this] { Start(); });
}

void SimWorker::Receive(const std::string& bytes, unsigned coordinator) {
  const auto envelope = ParseFromCoordinator(bytes);
  if (!envelope) return;
  process_->channel->Heard(coordinator, !envelope->has_not_leading());
  // Messages to an earlier life may still arrive.
  if (envelope->has_worker()) process_->agent.Receive(envelope->worker(), clock_.Now());
}

void SimWorker::Do(const std::weak_ptr<Process>& life, std::function<void()> what) {
  const auto process = life.lock();
  if (!process || process != process_) return;
  if (stalled_until_ > world_.now()) {
    return world_.events.At(stalled_until_, [this, life, what = std::move(what)] { Do(life, what); });
  }
  what();
  if (process == process_) Step();
}

void SimWorker::Later(Duration delay, std::function<void()> what) {
  world_.events.After(delay, [this, life = std::weak_ptr(process_), what = std::move(what)] { Do(life, what); });
}

void SimWorker::Step() {
  for (const auto& [lease, sender] : process_->senders) process_->agent.Progress(lease, sender.progress);
  AgentOutput out = process_->agent.Step(clock_.Now());
  if (process_->draining && !out.starts.empty()) throw Violation("a worker that drains starts a study");
  if (out.drain && !process_->draining) StartDraining();
  Take(out);
  WakeSenders();
  if (out.wake_at) {
    world_.events.At(clock_.When(*out.wake_at), [this, life = std::weak_ptr(process_), wake = ++process_->wake] {
      const auto process = life.lock();
      if (process && process->wake == wake) Do(life, [] {});
    });
  }
  EndIfDrained();
}

void SimWorker::Take(AgentOutput& out) {
  for (const auto& message : out.messages) {
    const std::string peer = fmt::format("{}.{}", name_, lives_);
    if (message.has_report()) checker_.Reported(message.report());
    if (message.has_status()) checker_.Announced(peer, message.status());
    if (world_.tracing()) world_.Trace("{} says: {}", name_, message.ShortDebugString());
    process_->channel->Send(Envelope(message).SerializeAsString());
  }
  for (wire::LeaseGrant& grant : out.starts) {
    const std::uint64_t lease = grant.lease_id();
    world_.Trace("{} starts lease {}, study {}", name_, lease, grant.study_instance_uid());
    Sender& sender = process_->senders[lease];
    sender.page = grant.first_page();
    sender.grant = std::move(grant);
    Later(milliseconds(1), [this, lease] { Continue(lease); });
  }
  for (wire::Page& page : out.pages) {
    const auto sender = process_->senders.find(page.lease_id());
    if (sender == process_->senders.end() || sender->second.waiting != Waiting::kPage) continue;
    sender->second.page = std::move(page);
    sender->second.position = 0;
    sender->second.waiting = Waiting::kNo;
    Later({}, [this, lease = sender->first] { Continue(lease); });
  }
  out.lost.insert(out.lost.end(), out.ended.begin(), out.ended.end());
  for (const std::uint64_t lease : out.lost) {
    world_.Trace("{} has lost lease {}", name_, lease);
    const auto sender = process_->senders.find(lease);
    if (sender != process_->senders.end()) sender->second.stop = sender->second.lost = true;
  }
}

void SimWorker::WakeSenders() {
  for (auto& [lease, sender] : process_->senders) {
    const bool has_room =
        sender.waiting == Waiting::kBacklog && process_->agent.Backlog(lease) < world_.plan.backlog_max;
    if (sender.waiting == Waiting::kNo || (!has_room && !sender.stop)) continue;
    sender.waiting = Waiting::kNo;
    Later({}, [this, id = lease] { Continue(id); });
  }
}

void SimWorker::AddBelieved(std::vector<std::string_view>& studies) const {
  if (!process_ || stalled_until_ > world_.now()) return;  // a paused process does nothing
  for (const auto& [lease, sender] : process_->senders) {
    if (!sender.lost) studies.push_back(sender.grant.study_instance_uid());
  }
}

// --- sender

template <class Result>
std::function<void(Result)> SimWorker::InSender(std::uint64_t lease, void (SimWorker::*then)(std::uint64_t, Result)) {
  return [this, life = std::weak_ptr(process_), lease, then](Result result) {
    Do(life, [=, this] { (this->*then)(lease, result); });
  };
}

SimDestination& SimWorker::DestinationOf(const Sender& sender) {
  for (SimDestination& destination : destinations_) {
    if (destination.name() == sender.grant.destination().called_ae()) return destination;
  }
  throw Violation("a grant for a destination that nobody asked for");
}

void SimWorker::Continue(std::uint64_t lease) {
  const auto it = process_->senders.find(lease);
  if (it == process_->senders.end() || it->second.busy || it->second.waiting != Waiting::kNo) return;
  Sender& sender = it->second;
  for (;;) {
    if (sender.position == sender.page.instances_size()) {
      if (sender.page.next_index() <= sender.page.from_index()) return EndStudy(lease);
      if (sender.stop) return Finish(lease, wire::GiveBack::DRAINING);
      process_->agent.WantPage(lease, sender.page.next_index());
      sender.waiting = Waiting::kPage;
      return;
    }
    sender.in_flight = sender.page.instances(sender.position++);
    if (!sender.tried.insert(sender.in_flight.index()).second) continue;
    if (sender.stop) return Finish(lease, wire::GiveBack::DRAINING);
    const auto cannot = CannotSend(world_.files.at(kSimRoot + sender.in_flight.path()));
    if (!cannot) break;
    Tell(lease, *cannot);
    if (sender.waiting != Waiting::kNo) return;
  }
  sender.busy = true;
  sender.association ? Store(lease) : Associate(lease);
}

void SimWorker::EndStudy(std::uint64_t lease) {
  const Sender& sender = process_->senders.at(lease);
  if (sender.losses == 0 || sender.responded) return Finish(lease, wire::GiveBack::DONE);
  GiveBackOfDestination(lease, wire::GiveBack::DESTINATION_TRANSIENT);
}

void SimWorker::Associate(std::uint64_t lease) {
  Sender& sender = process_->senders.at(lease);
  DestinationOf(sender).Connect(name_, sender.grant.study_instance_uid(), InSender(lease, &SimWorker::OnConnected));
}

// Does what the study sender does once it is connected.
void SimWorker::GiveBackOfDestination(std::uint64_t lease, wire::GiveBack::Reason reason) {
  Sender& sender = process_->senders.at(lease);
  sender.busy = true;
  sender.give_back.set_reason(reason);
  sender.give_back.set_detail(wire::GiveBack::Reason_Name(reason));
  DestinationOf(sender).Connect(name_, "", InSender(lease, &SimWorker::OnEcho));
}

void SimWorker::OnEcho(std::uint64_t lease, SimDestination::Connected connected) {
  wire::GiveBack give_back = process_->senders.at(lease).give_back;
  give_back.set_echo_answered(world_.asks_by_echo && connected == SimDestination::Connected::kYes);
  Finish(lease, std::move(give_back));
}

std::optional<wire::Outcome> SimWorker::CannotSend(const SimFile& file) const {
  wire::Outcome outcome;
  const bool first = name_ == "w0";
  const bool no_mount = first && world_.plan.bad_worker == Plan::BadWorker::kNoMount;
  const bool other_tree = first && world_.plan.bad_worker == Plan::BadWorker::kOtherTree;
  if (no_mount || other_tree || world_.storage_away) {
    outcome.set_kind(world_.tells_unreadable ? wire::Outcome::UNREADABLE : wire::Outcome::NOT_SENDABLE);
    outcome.set_storage_away(no_mount || world_.storage_away);
    outcome.set_reason(outcome.storage_away() ? "the folder is missing" : "another instance");
  } else if (file.unsendable) {
    outcome.set_kind(wire::Outcome::NOT_SENDABLE);
  } else {
    return std::nullopt;
  }
  return outcome;
}

void SimWorker::OnConnected(std::uint64_t lease, SimDestination::Connected connected) {
  Sender& sender = process_->senders.at(lease);
  switch (connected) {
    case SimDestination::Connected::kYes:
      process_->agent.CountAssociation(lease);
      sender.association = DestinationOf(sender).generation();
      return Store(lease);
    case SimDestination::Connected::kNoConnection:
      return Finish(lease, wire::GiveBack::DESTINATION_TRANSIENT);
    case SimDestination::Connected::kAborted:
      return GiveBackOfDestination(lease, wire::GiveBack::DESTINATION_TRANSIENT);
    case SimDestination::Connected::kBusy:
      return GiveBackOfDestination(lease, wire::GiveBack::DESTINATION_BUSY);
    case SimDestination::Connected::kRejected:
      return GiveBackOfDestination(lease, wire::GiveBack::DESTINATION_REJECTED);
    case SimDestination::Connected::kRefused:
      return GiveBackOfDestination(lease, wire::GiveBack::DESTINATION_REFUSED);
  }
}

void SimWorker::Store(std::uint64_t lease) {
  Sender& sender = process_->senders.at(lease);
  ++sender.progress;  // bytes
  DestinationOf(sender).Store(name_, *sender.association, sender.grant.study_instance_uid(),
                              sender.in_flight.sop_instance_uid(), InSender(lease, &SimWorker::OnStored));
}

void SimWorker::OnStored(std::uint64_t lease, SimDestination::Stored stored) {
  using End = SimDestination::Stored::End;
  if (stored.end != End::kAnswered) return OnLoss(lease, stored);
  Sender& sender = process_->senders.at(lease);
  sender.busy = false;
  sender.responded = true;
  sender.losses = 0;
  Tell(lease, wire::Outcome::RESPONDED, stored);
  Continue(lease);
}

void SimWorker::OnLoss(std::uint64_t lease, SimDestination::Stored lost) {
  const bool touched = lost.end == SimDestination::Stored::End::kLost;
  Sender& sender = process_->senders.at(lease);
  sender.association.reset();
  // With others in flight, the cause is unknown.
  const bool alone = sender.in_flight.alone() || world_.random.Below(2) == 0;
  if (touched) Tell(lease, alone ? wire::Outcome::ASSOCIATION_LOST : wire::Outcome::UNANSWERED, lost);
  if (++sender.losses >= kLossesMax) return GiveBackOfDestination(lease, wire::GiveBack::DESTINATION_TRANSIENT);
  if (!touched) return Associate(lease);
  sender.busy = false;
  Continue(lease);
}

void SimWorker::Tell(std::uint64_t lease, wire::Outcome::Kind kind, SimDestination::Stored stored) {
  wire::Outcome outcome;
  outcome.set_kind(kind);
  outcome.set_status(stored.status);
  outcome.set_may_be_stored(stored.may_be_stored);
  outcome.set_duration_us(1000);
  Tell(lease, std::move(outcome));
}

void SimWorker::Tell(std::uint64_t lease, wire::Outcome outcome) {
  Sender& sender = process_->senders.at(lease);
  outcome.set_index(sender.in_flight.index());
  ++sender.progress;
  process_->agent.Record(lease, std::move(outcome));
  const bool full = process_->agent.Backlog(lease) >= world_.plan.backlog_max;
  if (full && !sender.stop) sender.waiting = Waiting::kBacklog;
}

void SimWorker::Finish(std::uint64_t lease, wire::GiveBack::Reason reason) {
  wire::GiveBack give_back;
  give_back.set_reason(reason);
  if (reason != wire::GiveBack::DONE) give_back.set_detail(wire::GiveBack::Reason_Name(reason));
  Finish(lease, std::move(give_back));
}

void SimWorker::Finish(std::uint64_t lease, wire::GiveBack give_back) {
  world_.Trace("{} ends lease {}: {}{}", name_, lease, wire::GiveBack::Reason_Name(give_back.reason()),
               give_back.echo_answered() ? ", though a C-ECHO is answered" : "");
  process_->agent.Finish(lease, std::move(give_back));
  process_->senders.erase(lease);
}

}  // namespace dicom_sender
