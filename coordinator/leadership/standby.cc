#include "coordinator/leadership/standby.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>

#include "coordinator/leadership/bound_socket.h"
#include "coordinator/leadership/leader_election.h"
#include "coordinator/leadership/metrics.h"
#include "proto/validate.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::milliseconds kPollMax(1000);
constexpr int kAnswersPerTurnMax = 64;  // further messages are answered in the next turn
constexpr std::chrono::seconds kHangsAfterMin(30);
constexpr int kHangsAfterTimeouts = 3;

class Standby {
 public:
  Standby(const CoordinatorContext& context, const SharedLedger& ledger, const std::string& name, bool first)
      : context_(context), name_(name), election_(ledger, name, context.leader_timeout, /*strict=*/first) {}

  tl::expected<std::unique_ptr<LeadershipRenewer>, std::string> Run(RouterChannel& channel,
                                                                    const std::stop_token& stop) {
    const auto published = context_.status.Publish(MakeStatus());
    if (!published) return tl::unexpected(published.error());
    election_.Start();  // not earlier: a coordinator that cannot serve must not be elected
    WakeEvent stopped;
    const std::stop_callback on_stop(stop, [&stopped] { stopped.Raise(); });
    while (!stop.stop_requested()) {
      std::array<zmq::pollitem_t, 3> items{{{channel.socket().handle(), 0, ZMQ_POLLIN, 0},
                                            {nullptr, election_.changed().fd(), ZMQ_POLLIN, 0},
                                            {nullptr, stopped.fd(), ZMQ_POLLIN, 0}}};
      zmq::poll(items, kPollMax);
      progress_.Note();
      election_.changed().Clear();
      if (auto decision = election_.Decision()) return StartRenewing(std::move(*decision));
      const LeaderElection::View view = election_.view();
      Report(view);
      Answer(channel, Leader(view));
    }
    return nullptr;
  }

 private:
  // Renewal starts now, because closing this phase and opening the next one takes a while.
  tl::expected<std::unique_ptr<LeadershipRenewer>, std::string> StartRenewing(
      tl::expected<AcquiredLeadership, std::string> decision) const {
    if (!decision) return tl::unexpected(std::move(decision.error()));
    const Duration limit = std::max<Duration>(kHangsAfterMin, context_.leader_timeout * kHangsAfterTimeouts);
    return std::make_unique<LeadershipRenewer>(*std::move(decision), context_.leader_timeout,
                                               [&status = context_.status, limit] { return status.Health(limit); });
  }
  // Empty if there is no leader.
  std::string Leader(const LeaderElection::View& view) const {
    // A record with our own name is from an earlier epoch of this process.
    return view.record && view.record->leader != name_ ? view.record->leader : std::string();
  }
  std::string Text(const LeaderElection::View& view) const {
    if (!view.trouble.empty()) return "the leader is unknown: " + view.trouble;
    if (!view.record) return {};
    const std::string leader = Leader(view);
    return leader.empty() ? "no leader" : fmt::format("{} is the leader, epoch {}", leader, view.record->epoch);
  }
  void Report(const LeaderElection::View& view) {
    const std::string text = Text(view);
    if (text == reported_) return;
    reported_ = text;
    const auto level = view.trouble.empty() ? spdlog::level::info : spdlog::level::warn;
    spdlog::log(level, "Standby on {}: {}", context_.bind, text);
    context_.status.ReportReady("standby: " + text);
  }

  static void Answer(RouterChannel& channel, const std::string& leader) {
    wire::NotLeading answer;
    answer.set_leader(LimitedReason(leader));
    const wire::FromCoordinator envelope = Envelope(std::move(answer));
    for (int i = 0; i < kAnswersPerTurnMax; ++i) {
      const auto message = channel.Receive();
      if (!message) return;
      if (!channel.Send(message->peer, envelope)) spdlog::debug("Dropped an answer: its receiver has disconnected");
    }
  }

  PhaseStatus MakeStatus() const {
    const auto registry = std::make_shared<prometheus::Registry>();
    LeaderMetrics(*registry).leader.Set(0);
    return {.registry = registry,
            .progress = progress_,
            .pages = {{"/readyz", [this] { return Page(503); }}, {"/", [this] { return Page(200); }}}};
  }
  HttpPage Page(int status_without_leader) const {
    const LeaderElection::View view = election_.view();
    const std::string text = Text(view);
    return {.status = Leader(view).empty() ? status_without_leader : 200,
            .body = text.empty() ? "standby\n" : fmt::format("standby: {}\n", text)};
  }

  const CoordinatorContext& context_;
  const std::string& name_;
  std::string reported_;
  Progress progress_;
  LeaderElection election_;
};

}  // namespace

tl::expected<std::unique_ptr<LeadershipRenewer>, std::string> RunStandby(const CoordinatorContext& context,
                                                                         const SharedLedger& ledger,
                                                                         const std::string& name, bool first,
                                                                         std::stop_token stop) {
  // The socket is bound before the election, because a coordinator that cannot serve must not be elected. After the
  // first phase, it waits for a port that is in use.
  auto socket = BoundSocket::Bind(context.bind, context.security, first ? Duration::zero() : kRebindWithin, stop);
  for (bool warned = false; !socket && !first && !stop.stop_requested(); warned = true) {
    if (!warned) spdlog::warn("Cannot become a standby yet, retrying: {}", socket.error());
    context.status.NoteProgress();
    socket = BoundSocket::Bind(context.bind, context.security, kRebindWithin, stop);
  }
  if (!socket) return tl::unexpected(socket.error());
  return Standby(context, ledger, name, first).Run((*socket)->channel(), stop);
}

}  // namespace dicom_sender
