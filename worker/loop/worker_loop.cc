#include "worker/loop/worker_loop.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "common/clock_watch.h"
#include "common/wake_event.h"
#include "dicom/network/tcp_association.h"
#include "proto/refusals.h"
#include "proto/validate.h"
#include "proto/words.h"
#include "transport/channel.h"
#include "worker/agent/agent.h"
#include "worker/association/window_memory.h"
#include "worker/loop/ignored_log.h"
#include "worker/loop/study_link.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::milliseconds kPollMax(1000), kConnectCheck(100);
// Outcomes that follow each other fast wake the loop together, or each would cost a round to the coordinator and a
// commit of the ledger.
constexpr std::chrono::milliseconds kReportEvery(10);
// A coordinator that is there connects at once, and answers a status every 10 s.
constexpr std::chrono::seconds kUnconnectedNotedAfter(2), kSilenceNotedAfter(30);
// With several coordinators: a leader that does not answer any more is to be known soon, by an idle worker, too.
constexpr std::chrono::seconds kStatusEveryOfSeveral(2);
static_assert(kReportAtOnce < StudyLink::kBacklogMax, "or a sender would wait for a loop that waits for it");

// Greater with each start, so that what an earlier life has said late can be told from what this one says. If the
// wall clock was set back in between, this life is not heard until the leases of the earlier one have run out.
std::uint64_t NewIncarnation() {
  return static_cast<std::uint64_t>(Duration(std::chrono::system_clock::now().time_since_epoch()).count());
}

AgentOptions ForAgent(const WorkerOptions& options, bool several_coordinators) {
  AgentOptions agent{.worker_id = options.worker_id, .incarnation = NewIncarnation(), .capacity = options.threads};
  if (several_coordinators) agent.status_every_max = kStatusEveryOfSeveral;
  return agent;
}

// The threads that send, each with one study at a time.
class SendingThreads {
 public:
  SendingThreads(unsigned count, WorkerMetrics& metrics, SendingObserver& observer)
      : metrics_(metrics), observer_(observer), senders_(count) {
    for (unsigned i = 0; i < count; ++i) {
      threads_.emplace_back([this, i](std::stop_token stop) { Run(i, stop); });
    }
  }

  void Start(std::shared_ptr<StudyLink> study) {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(study));
    changed_.notify_one();
  }
  // Ends every wait for the network, now and later.
  void Cancel() {
    for (Sender& sender : senders_) sender.cancel.Raise();
  }
  // What moves forward under the lease: bytes, responses and bounded waits for them. Nothing: it is not being sent.
  std::uint64_t Progress(std::uint64_t lease) const {
    for (const Sender& sender : senders_) {
      if (sender.lease == lease) return sender.progress.bytes_sent + sender.progress.waits + sender.outcomes;
    }
    return 0;
  }
  // As in WorkerHealth.
  Duration::rep UnansweredSince() const {
    Duration::rep oldest = 0;
    for (const Sender& sender : senders_) {
      const Duration::rep requested = sender.requested;
      if (requested != 0 && (oldest == 0 || requested < oldest)) oldest = requested;
    }
    return oldest;
  }

 private:
  struct Sender {
    WakeEvent cancel;
    std::atomic<std::uint64_t> lease = 0;
    SendingProgress progress;
    std::atomic<std::uint64_t> outcomes = 0;
    std::atomic<Duration::rep> requested = 0;  // when an association was that is not there yet; 0: none
  };
  // Counts outcomes on their way to whoever watches.
  class Counting : public SendingObserver {
   public:
    Counting(SendingObserver& next, Sender& sender) : next_(next), sender_(sender) {}
    void OnOutcome(unsigned thread, const SentInstance& instance, const wire::Outcome& outcome) override {
      ++sender_.outcomes;
      next_.OnOutcome(thread, instance, outcome);
    }

   private:
    SendingObserver& next_;
    Sender& sender_;
  };

  void Run(unsigned number, const std::stop_token& stop) {
    Sender& sender = senders_[number];
    Counting counting(observer_, sender);
    const SendingContext context{.thread = number,
                                 .associate =
                                     [this, &sender](const AssociationRequest& request) {
                                       sender.requested = MonotonicNow().time_since_epoch().count();
                                       auto association = RequestAssociation(request, sender.progress, &sender.cancel,
                                                                             LogIgnoredOf(request));
                                       sender.requested = 0;
                                       return association;
                                     },
                                 .progress = sender.progress,
                                 .windows = windows_,
                                 .metrics = metrics_,
                                 .observer = counting};
    while (auto study = Next(stop)) {
      sender.lease = study->grant().lease_id();
      study->Finished(SendStudy(study->grant(), *study, context));
      sender.lease = 0;
    }
  }
  IgnoredObserver LogIgnoredOf(const AssociationRequest& request) {
    return [this, destination = DestinationText(request.called_ae, request.port, request.host)](
               const std::string& remark) { ignored_log_.Note(destination, remark); };
  }
  std::shared_ptr<StudyLink> Next(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, stop, [this] { return !waiting_.empty(); });
    if (stop.stop_requested()) return nullptr;
    auto study = std::move(waiting_.front());
    waiting_.pop_front();
    return study;
  }

  WorkerMetrics& metrics_;
  SendingObserver& observer_;
  WindowMemory windows_;
  IgnoredLog ignored_log_;
  std::vector<Sender> senders_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<std::shared_ptr<StudyLink>> waiting_;  // at most as many as there are threads, see Agent
  std::vector<std::jthread> threads_;               // last: they end before what they use
};

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
  // A sending thread may wait for the network or for this loop, and would wait for ever once it is gone.
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
  // What is said before there is a connection is lost. False: to be stopped first.
  bool WaitForCoordinator(const std::stop_token& drain, const std::stop_token& abort) {
    const TimePoint begin = MonotonicNow();
    bool noted = false;
    while (!channel_.WaitUntilConnected(kConnectCheck)) {
      if (!noted && MonotonicNow() >= begin + kUnconnectedNotedAfter) {
        noted = true;
        spdlog::warn("No connection to the coordinator yet: does it run there, and does it know our key?");
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

  // Once when it begins and once when it is over: it may last for hours.
  void NoteSilence() {
    const bool silent =
        MonotonicNow() >= std::max(connected_, TimePoint{Duration(health_.last_heard)}) + kSilenceNotedAfter;
    if (silent == silent_) return;
    silent_ = silent;
    if (silent) {
      spdlog::warn("The coordinator was not heard of for {} s", kSilenceNotedAfter.count());
    } else {
      spdlog::info("The coordinator is back");
    }
  }

  // Without its storage the worker takes no studies.
  void NoteReadiness() {
    if (!not_ready_) return;
    std::string reason = not_ready_();
    if (reason == not_ready_noted_) return;
    if (reason.empty()) {
      spdlog::info("Ready again: studies are taken");
    } else {
      spdlog::warn("Not ready: {}; no studies are taken until that is mended", reason);
    }
    not_ready_noted_ = reason;
    agent_.SetNotReady(LimitedReason(reason));
  }

  tl::expected<void, std::string> Drained() const {
    if (agent_.leases() == 0) return {};
    return tl::unexpected(
        fmt::format("what was sent last of {} studies could not be reported, for the coordinator does not know their "
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
    if (channel_.endpoints().size() > 1) spdlog::info("The coordinator at {} leads", leader_);
  }
  void Refused(const std::string& reason, bool for_good) {
    if (for_good) refused_ = reason;
    refusals_.Add("coordinator", reason);
  }

  // Called by the sending threads.
  void Post(SendingEvent event) {
    const std::lock_guard lock(mutex_);
    const bool is_outcome = std::holds_alternative<wire::Outcome>(event.what);
    const bool is_count = std::holds_alternative<AssociationCounted>(event.what);
    events_.push_back(std::move(event));
    if (is_count) return;  // it goes with the outcome that follows
    const TimePoint now = MonotonicNow();
    if (is_outcome && events_.size() % kReportAtOnce != 0 && now < raised_at_ + kReportEvery) return;
    raised_at_ = now;
    wake_.Raise();
  }

  void TakeEvents() {
    std::vector<SendingEvent> events;
    {
      const std::lock_guard lock(mutex_);
      events.swap(events_);
    }
    for (SendingEvent& event : events) {
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
    for (auto& message : out.messages) channel_.Send(Envelope(std::move(message)));  // what is dropped is sent again
    if (out.drain && !draining_) {
      spdlog::info("Asked by the coordinator to stop");
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
    auto study =
        std::make_shared<StudyLink>(std::move(grant), [this](SendingEvent event) { Post(std::move(event)); });
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
  std::optional<std::string> refused_;  // for good
  Refusals refusals_;
  bool draining_ = false;
  std::string leader_;  // its endpoint; empty: none was heard of
  TimePoint connected_;
  bool silent_ = false;
  std::map<std::uint64_t, std::shared_ptr<StudyLink>> studies_;  // that are being sent
  WakeEvent wake_;
  std::mutex mutex_;
  TimePoint raised_at_;
  std::vector<SendingEvent> events_;  // bounded by StudyLink::kBacklogMax for each study
  SendingThreads senders_;            // last: its threads end before what they use
};

}  // namespace

tl::expected<void, std::string> RunWorker(DealerChannel& channel, const WorkerOptions& options,
                                          WorkerMetrics& metrics, SendingObserver& observer, WorkerHealth& health,
                                          std::stop_token drain, std::stop_token abort) {
  metrics.threads.Set(options.threads);
  return WorkerLoop(channel, options, metrics, observer, health).Run(drain, abort);
}

}  // namespace dicom_sender
