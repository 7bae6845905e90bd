#include "worker/loop/worker_loop.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>

#include "common/clock_watch.h"
#include "common/wake_event.h"
#include "proto/validate.h"
#include "transport/channel.h"
#include "transport/refusals.h"
#include "worker/agent/agent.h"
#include "worker/loop/event_mailbox.h"
#include "worker/loop/sending_threads.h"
#include "worker/loop/study_link.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::milliseconds kPollMax(1000), kConnectCheck(100);
// A running coordinator accepts the connection at once, and answers a status every 10 s.
constexpr std::chrono::seconds kUnconnectedNotedAfter(2), kSilenceNotedAfter(30);
// With several coordinators, an idle worker must also notice soon that the leader no longer answers.
constexpr std::chrono::seconds kStatusEveryOfSeveral(2);

// Grows with each start, so that the coordinator can distinguish late messages of an earlier start. If the wall clock
// was set back in between, the coordinator ignores this start until the leases of the earlier one have expired.
std::uint64_t NewIncarnation() {
  return static_cast<std::uint64_t>(Duration(std::chrono::system_clock::now().time_since_epoch()).count());
}

AgentOptions ForAgent(const WorkerOptions& options, bool several_coordinators) {
  AgentOptions agent{.worker_id = options.worker_id, .incarnation = NewIncarnation(), .capacity = options.threads};
  if (several_coordinators) agent.status_every_max = kStatusEveryOfSeveral;
  return agent;
}

class WorkerLoop {
 public:
  WorkerLoop(DealerChannel& channel, const WorkerOptions& options, WorkerMetrics& metrics, SendingObserver& observer,
             WorkerHealth& health)
      : channel_(channel),
        path_map_(options.path_map),
        not_ready_(options.not_ready),
        watches_clock_(options.watches_clock),
        health_(health),
        agent_(ForAgent(options, channel.endpoints().size() > 1)),
        senders_(options.threads, metrics, observer) {}
  // Sending threads that wait for the network or for this loop would otherwise wait forever.
  ~WorkerLoop() {
    senders_.Cancel();
    for (const auto& [lease, study] : studies_) study->Stop();
  }

  tl::expected<void, std::string> Run(const std::stop_token& drain, const std::stop_token& abort) {
    const std::stop_callback on_drain(drain, [this] { wake_.Raise(); });
    const std::stop_callback on_abort(abort, [this] { wake_.Raise(); });
    if (!WaitForCoordinator(drain, abort)) return {};
    connected_ = MonotonicNow();
    std::optional<TimePoint> wake_at = connected_;
    while (!abort.stop_requested() && !refused_) {
      Wait(wake_at);
      health_.last_round = MonotonicNow().time_since_epoch().count();
      health_.unanswered_since = senders_.UnansweredSince();
      if (watches_clock_) clock_.Look();
      if (drain.stop_requested() && !draining_) Drain();
      while (auto bytes = channel_.Receive()) Receive(*bytes);
      if (channel_.Follow()) agent_.SpeakAgain();
      NoteSilence();
      NoteReadiness();
      TakeEvents();
      for (const auto& [lease, study] : studies_) agent_.Progress(lease, senders_.Progress(lease));
      wake_at = Step();
      if (draining_ && agent_.OnlyRefusedLeft()) return Drained();
    }
    if (refused_) return tl::unexpected(*refused_);
    return {};
  }

 private:
  // Waits for the connection, because messages before it are lost. Returns false if a stop was requested first.
  bool WaitForCoordinator(const std::stop_token& drain, const std::stop_token& abort) {
    const TimePoint begin = MonotonicNow();
    bool noted = false;
    while (!channel_.WaitUntilConnected(kConnectCheck)) {
      if (!noted && MonotonicNow() >= begin + kUnconnectedNotedAfter) {
        noted = true;
        spdlog::warn(
            "No connection to the coordinator yet: check that it runs there and has this worker's public key");
      }
      health_.last_round = MonotonicNow().time_since_epoch().count();
      if (drain.stop_requested() || abort.stop_requested()) return false;
      channel_.Follow();
    }
    return true;
  }

  void Wait(std::optional<TimePoint> until) {
    const TimePoint next = std::min(until.value_or(TimePoint::max()), channel_.follow_at());
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - MonotonicNow());
    auto timeout = std::clamp(left, std::chrono::milliseconds(0), kPollMax);
    if (!studies_.empty()) timeout = std::min(timeout, kReportEvery);
    std::array<zmq::pollitem_t, 3> items{{{channel_.socket().handle(), 0, ZMQ_POLLIN, 0},
                                          {channel_.events().handle(), 0, ZMQ_POLLIN, 0},
                                          {nullptr, wake_.fd(), ZMQ_POLLIN, 0}}};
    zmq::poll(items, timeout);
    wake_.Clear();
  }

  void Drain() {
    draining_ = true;
    agent_.Drain();
    for (const auto& [lease, study] : studies_) study->Stop();
  }

  // Logs the beginning and the end of a silence once each, because it may last for hours.
  void NoteSilence() {
    const bool silent =
        MonotonicNow() >= std::max(connected_, TimePoint{Duration(health_.last_heard)}) + kSilenceNotedAfter;
    if (silent == silent_) return;
    silent_ = silent;
    if (silent) {
      spdlog::warn("The coordinator has not answered for {} s", kSilenceNotedAfter.count());
    } else {
      spdlog::info("The coordinator answers again");
    }
  }

  // A worker without its storage takes no studies.
  void NoteReadiness() {
    if (!not_ready_) return;
    std::string reason = not_ready_();
    if (reason == not_ready_noted_) return;
    if (reason.empty()) {
      spdlog::info("Ready again: taking studies");
    } else {
      spdlog::warn("Not ready: {}; taking no studies until that is fixed", reason);
    }
    not_ready_noted_ = reason;
    agent_.SetNotReady(LimitedReason(reason));
  }

  tl::expected<void, std::string> Drained() const {
    if (agent_.leases() == 0) return {};
    return tl::unexpected(fmt::format(
        "the last outcomes of {} studies could not be reported, because the coordinator does not know their "
        "leases: if its ledger was replaced, those instances are sent again",
        agent_.leases()));
  }

  void Receive(const std::string& bytes) {
    const auto envelope = ParseFromCoordinator(bytes);
    if (!envelope)
      return Refused("the coordinator's message: " + envelope.error().reason, envelope.error().other_version);
    channel_.Answered(!envelope->has_not_leading());
    if (envelope->has_not_leading()) return;
    NoteLeader();
    health_.last_heard = MonotonicNow().time_since_epoch().count();
    if (envelope->has_worker()) return agent_.Receive(envelope->worker(), MonotonicNow());
    if (envelope->has_refusal()) {
      agent_.ReportRefused(envelope->refusal().lease_id());
      Refused("refused by the coordinator: " + envelope->refusal().reason(), envelope->refusal().for_good());
    }
  }
  void NoteLeader() {
    if (leader_ == channel_.endpoint()) return;
    leader_ = channel_.endpoint();
    if (channel_.endpoints().size() > 1) spdlog::info("The coordinator at {} is the leader", leader_);
  }
  void Refused(const std::string& reason, bool for_good) {
    if (for_good) refused_ = reason;
    refusals_.Add("coordinator", reason);
  }

  void TakeEvents() {
    for (SendingEvent& event : mailbox_.Take()) {
      std::visit([&](auto& what) { On(event.lease, what); }, event.what);
    }
  }
  void On(std::uint64_t lease, const PageWanted& wanted) { agent_.WantPage(lease, wanted.from_index); }
  void On(std::uint64_t lease, const AssociationCounted&) { agent_.CountAssociation(lease); }
  void On(std::uint64_t lease, wire::Outcome& outcome) {
    agent_.Record(lease, std::move(outcome));
    studies_.at(lease)->CountRecorded();
  }
  void On(std::uint64_t lease, StudyFinished& finished) {
    agent_.Finish(lease, std::move(finished.give_back));
    studies_.erase(lease);
  }

  std::optional<TimePoint> Step() {
    AgentOutput out = agent_.Step(MonotonicNow());
    for (auto& message : out.messages) channel_.Send(Envelope(std::move(message)));  // a dropped message is repeated
    if (out.drain && !draining_) {
      spdlog::info("Draining: requested by the coordinator");
      Drain();
    }
    for (wire::LeaseGrant& grant : out.starts) Start(std::move(grant));
    for (wire::Page& page : out.pages) {
      if (const auto study = studies_.find(page.lease_id()); study != studies_.end()) {
        MapRoots(page);
        study->second->Deliver(std::move(page));
      }
    }
    for (const std::uint64_t lease : out.lost) {
      spdlog::warn("Lease {} is lost: its study stops at the next instance", lease);
      StopStudy(lease);
    }
    for (const std::uint64_t lease : out.ended) {
      spdlog::info(
          "Lease {} is revoked because its session was cancelled or has ended: its study stops at the next "
          "instance",
          lease);
      StopStudy(lease);
    }
    for (const auto& [lease, study] : studies_) study->SetBacklog(agent_.Backlog(lease));
    return out.wake_at;
  }
  void StopStudy(std::uint64_t lease) {
    if (const auto study = studies_.find(lease); study != studies_.end()) study->second->Stop();
  }
  void MapRoots(wire::Page& page) const {
    for (auto& root : *page.mutable_roots()) root.set_path(path_map_.Apply(root.path()));
  }
  void Start(wire::LeaseGrant grant) {
    const std::uint64_t lease = grant.lease_id();
    MapRoots(*grant.mutable_first_page());
    auto study = std::make_shared<StudyLink>(
        std::move(grant), [this](SendingEvent event) { mailbox_.Post(std::move(event), MonotonicNow()); });
    studies_[lease] = study;
    senders_.Start(std::move(study));
  }

  DealerChannel& channel_;
  const PathMap path_map_;
  const std::function<std::string()> not_ready_;
  std::string not_ready_noted_;
  const bool watches_clock_;
  ClockWatch clock_;
  WorkerHealth& health_;
  Agent agent_;
  std::optional<std::string> refused_;  // the reason of a permanent refusal
  Refusals refusals_;
  bool draining_ = false;
  std::string leader_;  // its endpoint; empty if none has answered
  TimePoint connected_;
  bool silent_ = false;
  std::map<std::uint64_t, std::shared_ptr<StudyLink>> studies_;  // by lease; those that are being sent
  WakeEvent wake_;
  EventMailbox mailbox_{wake_};
  SendingThreads senders_;  // must be last: its threads end before the members that they use
};

}  // namespace

tl::expected<void, std::string> RunWorker(DealerChannel& channel, const WorkerOptions& options,
                                          WorkerMetrics& metrics, SendingObserver& observer, WorkerHealth& health,
                                          std::stop_token drain, std::stop_token abort) {
  metrics.threads.Set(options.threads);
  return WorkerLoop(channel, options, metrics, observer, health).Run(drain, abort);
}

}  // namespace dicom_sender
