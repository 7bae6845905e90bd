#include "programs/coordinator/stand_by.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>

#include "common/metrics.h"
#include "programs/coordinator/candidate.h"
#include "programs/coordinator/door.h"
#include "proto/validate.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::milliseconds kPollMax(1000);
constexpr int kAnswersPerTurnMax = 64;  // whoever else waits is answered in the next one
constexpr std::chrono::seconds kHangsAfterMin(30);
constexpr int kHangsAfterTimeouts = 3;

class StandByPhase {
 public:
  StandByPhase(const Site& site, const LedgerStore& store, const std::string& name, bool first)
      : site_(site), name_(name), candidate_(store, name, site.leader_timeout, /*strict=*/first) {}

  tl::expected<std::unique_ptr<Keeper>, std::string> Run(RouterChannel& channel, const std::stop_token& stop) {
    const auto shown = site_.front.Show(MakeFace());
    if (!shown) return tl::unexpected(shown.error());
    candidate_.Start();  // what it takes can be used
    WakeEvent stopped;
    const std::stop_callback on_stop(stop, [&stopped] { stopped.Raise(); });
    while (!stop.stop_requested()) {
      std::array<zmq::pollitem_t, 3> items{{{channel.socket().handle(), 0, ZMQ_POLLIN, 0},
                                            {nullptr, candidate_.news().fd(), ZMQ_POLLIN, 0},
                                            {nullptr, stopped.fd(), ZMQ_POLLIN, 0}}};
      zmq::poll(items, kPollMax);
      progress_.Note();
      candidate_.news().Clear();
      if (auto decision = candidate_.Decision()) return ToKeeper(std::move(*decision));
      const Candidate::View view = candidate_.view();
      SayWhoLeads(view);
      Answer(channel, Leader(view));
    }
    return nullptr;
  }

 private:
  // It renews from now on: closing what stands by, and opening what leads, takes a while.
  tl::expected<std::unique_ptr<Keeper>, std::string> ToKeeper(tl::expected<Mandate, std::string> decision) const {
    if (!decision) return tl::unexpected(std::move(decision.error()));
    const Duration limit = std::max<Duration>(kHangsAfterMin, site_.leader_timeout * kHangsAfterTimeouts);
    return std::make_unique<Keeper>(*std::move(decision), site_.leader_timeout,
                                    [&front = site_.front, limit] { return front.Health(limit); });
  }
  // Empty: nobody does.
  std::string Leader(const Candidate::View& view) const {
    // A name of ours is of an earlier epoch.
    return view.record && view.record->leader != name_ ? view.record->leader : std::string();
  }
  std::string Text(const Candidate::View& view) const {
    if (!view.trouble.empty()) return "it is not known who leads: " + view.trouble;
    if (!view.record) return {};
    const std::string leader = Leader(view);
    return leader.empty() ? "nobody leads" : fmt::format("{} leads, epoch {}", leader, view.record->epoch);
  }
  void SayWhoLeads(const Candidate::View& view) {
    const std::string text = Text(view);
    if (text == said_) return;
    said_ = text;
    const auto level = view.trouble.empty() ? spdlog::level::info : spdlog::level::warn;
    spdlog::log(level, "Standing by on {}: {}", site_.options.bind, text);
    site_.front.Ready("standing by: " + text);
  }

  static void Answer(RouterChannel& channel, const std::string& leader) {
    wire::NotLeading answer;
    answer.set_leader(LimitedReason(leader));
    const wire::FromCoordinator envelope = Envelope(std::move(answer));
    for (int i = 0; i < kAnswersPerTurnMax; ++i) {
      const auto message = channel.Receive();
      if (!message) return;
      if (!channel.Send(message->peer, envelope)) spdlog::debug("An answer was dropped: its receiver is gone");
    }
  }

  Face MakeFace() const {
    const auto registry = std::make_shared<prometheus::Registry>();
    LeaderMetrics(*registry).leader.Set(0);
    return {.registry = registry,
            .progress = progress_,
            .pages = {{"/readyz", [this] { return Page(503); }}, {"/", [this] { return Page(200); }}}};
  }
  HttpPage Page(int status_without_leader) const {
    const Candidate::View view = candidate_.view();
    const std::string text = Text(view);
    return {.status = Leader(view).empty() ? status_without_leader : 200,
            .body = text.empty() ? "standing by\n" : fmt::format("standing by: {}\n", text)};
  }

  const Site& site_;
  const std::string& name_;
  std::string said_;
  Progress progress_;
  Candidate candidate_;
};

}  // namespace

tl::expected<std::unique_ptr<Keeper>, std::string> StandBy(const Site& site, const LedgerStore& store,
                                                           const std::string& name, bool first,
                                                           std::stop_token stop) {
  // Before it takes what it could not use. A process that has served before waits for whoever has the port.
  auto door = Door::Open(site.options.bind, site.security, first ? Duration::zero() : kRebindWithin, stop);
  for (bool said = false; !door && !first && !stop.stop_requested(); said = true) {
    if (!said)
      spdlog::warn("Standing by as soon as it can be reached: {}; it is tried again and again", door.error());
    site.front.Note();
    door = Door::Open(site.options.bind, site.security, kRebindWithin, stop);
  }
  if (!door) return tl::unexpected(door.error());
  return StandByPhase(site, store, name, first).Run((*door)->channel(), stop);
}

}  // namespace dicom_sender
