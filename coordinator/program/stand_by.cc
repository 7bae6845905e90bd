#include "coordinator/program/stand_by.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <array>
#include <atomic>

#include "common/metrics.h"
#include "coordinator/program/candidate.h"
#include "coordinator/program/door.h"
#include "proto/validate.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::milliseconds kPollMax(1000);
constexpr int kAnswersPerTurnMax = 64;  // whoever else waits is answered in the next one

class StandByPhase {
 public:
  StandByPhase(const Site& site, const LedgerStore& store, const std::string& name, bool first)
      : site_(site), name_(name), candidate_(store, name, site.leader_timeout, /*strict=*/first) {}

  tl::expected<std::unique_ptr<Keeper>, std::string> Run(RouterChannel& channel, const std::stop_token& stop) {
    const auto shown = site_.front.Show(MakeFace());
    if (!shown) return tl::unexpected(shown.error());
    WakeEvent stopped;
    const std::stop_callback on_stop(stop, [&stopped] { stopped.Raise(); });
    while (!stop.stop_requested()) {
      std::array<zmq::pollitem_t, 3> items{{{channel.socket().handle(), 0, ZMQ_POLLIN, 0},
                                            {nullptr, candidate_.news().fd(), ZMQ_POLLIN, 0},
                                            {nullptr, stopped.fd(), ZMQ_POLLIN, 0}}};
      zmq::poll(items, kPollMax);
      last_turn_ = MonotonicNow().time_since_epoch().count();
      candidate_.news().Clear();
      if (auto decision = candidate_.Decision()) return ToKeeper(std::move(*decision));
      SayWhoLeads();
      Answer(channel);
    }
    return nullptr;
  }

 private:
  // It renews from now on: closing what stands by, and opening what leads, takes a while.
  tl::expected<std::unique_ptr<Keeper>, std::string> ToKeeper(tl::expected<Mandate, std::string> decision) const {
    if (!decision) return tl::unexpected(std::move(decision.error()));
    return std::make_unique<Keeper>(*std::move(decision), site_.leader_timeout,
                                    [&front = site_.front] { return front.Health(); });
  }
  // Empty: nobody does.
  std::string Leader() const {
    const auto record = candidate_.view().record;
    // A name of ours is of an earlier epoch.
    return record && record->leader != name_ ? record->leader : std::string();
  }
  std::string Text() const {
    const Candidate::View view = candidate_.view();
    if (!view.trouble.empty()) return "the ledger is out of reach: " + view.trouble;
    if (!view.record) return {};
    return Leader().empty() ? "nobody leads" : fmt::format("{} leads, epoch {}", Leader(), view.record->epoch);
  }
  void SayWhoLeads() {
    const std::string text = Text();
    if (text == said_) return;
    said_ = text;
    const auto level = candidate_.view().trouble.empty() ? spdlog::level::info : spdlog::level::warn;
    spdlog::log(level, "Standing by on {}: {}", site_.options.bind, text);
    site_.front.Ready("standing by: " + text);
  }

  void Answer(RouterChannel& channel) const {
    wire::NotLeading answer;
    answer.set_leader(LimitedReason(Leader()));
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
    const auto page = [this](int status) { return HttpPage{.status = status, .body = PageText()}; };
    return {.registry = registry,
            .health = TurnedWithin([this] { return TimePoint(Duration(last_turn_)); }, kStuckAfter),
            .pages = {{"/readyz", [this, page] { return page(Leader().empty() ? 503 : 200); }},
                      {"/", [page] { return page(200); }}}};
  }
  std::string PageText() const {
    const std::string text = Text();
    return text.empty() ? "standing by\n" : fmt::format("standing by: {}\n", text);
  }

  const Site& site_;
  const std::string& name_;
  std::string said_;
  std::atomic<Duration::rep> last_turn_ = MonotonicNow().time_since_epoch().count();
  Candidate candidate_;
};

}  // namespace

tl::expected<std::unique_ptr<Keeper>, std::string> StandBy(const Site& site, const LedgerStore& store,
                                                           const std::string& name, bool first,
                                                           std::stop_token stop) {
  const auto door = Door::Open(site.options.bind, site.security, first ? Duration::zero() : kRebindWithin, stop);
  if (!door) return tl::unexpected(door.error());  // before it takes what it could not use
  return StandByPhase(site, store, name, first).Run((*door)->channel(), stop);
}

}  // namespace dicom_sender
