#include "programs/coordinator/lead.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <optional>

#include "common/clock_watch.h"
#include "common/metrics.h"
#include "coordinator/service/coordinator_loop.h"
#include "coordinator/summary/summary_writer.h"
#include "programs/coordinator/door.h"
#include "status_page/status_board.h"

namespace dicom_sender {
namespace {

// Greater with each start, and no coordinator grants leases faster than one a microsecond; so no two ledgers that
// served the same workers have a lease id in common.
LeaseId LeasesAbove() {
  return static_cast<LeaseId>(std::chrono::floor<std::chrono::microseconds>(WallNow().time_since_epoch()).count());
}

SchedulerOptions ToSchedulerOptions(const CoordinatorOptions& options) {
  return {.lease_ttl = options.lease_ttl,
          .associations_max = options.associations_max,
          .attempts_max = options.attempts_max,
          .leases_above = LeasesAbove(),
          .seed = static_cast<std::uint64_t>(MonotonicNow().time_since_epoch().count())};
}

constexpr std::chrono::seconds kBusyAfter(10);

// Whether it serves and leads, for whoever asks from outside: never better than it is.
class Serving {
 public:
  Serving(const Reign& reign, const CoordinatorLoop& loop, prometheus::Gauge& leader)
      : reign_(reign), loop_(loop), leader_(leader) {}

  void Begin(const std::stop_token& stop) {
    serves_ = true;
    leader_.Set(1);
    on_end_.emplace(stop, [this] { leader_.Set(0); });
  }
  HttpPage Page() const {
    if (!serves_) return {.status = 503, .body = "starting\n"};
    if (reign_.leads && !reign_.leads()) return {.status = 503, .body = "not leading any more\n"};
    if (const auto wrong = BusySince(loop_.last_turn(), kBusyAfter)) return {.status = 503, .body = *wrong + "\n"};
    return {.body = (reign_.role.empty() ? "ok" : reign_.role) + "\n"};
  }

 private:
  const Reign& reign_;
  const CoordinatorLoop& loop_;
  prometheus::Gauge& leader_;
  std::atomic<bool> serves_ = false;
  std::optional<std::stop_callback<std::function<void()>>> on_end_;
};

}  // namespace

tl::expected<void, std::string> Lead(const Site& site, Ledger& ledger, const Reign& reign, std::stop_token stop) {
  const CoordinatorOptions& options = site.options;
  auto door = Door::Open(options.bind, site.security, reign.bind_within, stop);
  if (!door) return tl::unexpected(std::move(door.error()));

  const auto registry = std::make_shared<prometheus::Registry>();
  CoordinatorMetrics metrics(*registry);
  LeaderMetrics leader_metrics(*registry);
  EndpointNames endpoints(LookUpHost);
  Service service(ledger, ToSchedulerOptions(options), metrics, options.output_dir, reign.progress,
                  [&endpoints](const std::string& host, std::uint32_t port) {
                    return endpoints.Name(host, port, MonotonicNow());
                  });
  SummaryWriter summaries(ledger, options.output_dir, reign.progress);
  ClockWatch clock;
  StatusBoard board{std::string(ProgramVersion())};
  CoordinatorHooks hooks{.on_ended = [&summaries](SessionKey session) { summaries.Write(session, MonotonicNow()); },
                         .every_second =
                             [&] {
                               if (reign.every_second) reign.every_second();
                               summaries.Retry(MonotonicNow());
                               clock.Look();
                             },
                         .on_idle = [&summaries] { return summaries.WriteNextMissing(MonotonicNow()); },
                         .leads = reign.leads,
                         .progress = reign.progress};
  if (options.service.metrics) {
    hooks.on_look = [&board](wire::Overview overview) { board.Show(std::move(overview)); };
  }
  CoordinatorLoop loop((*door)->channel(), service, std::move(hooks));
  Serving serving(reign, loop, leader_metrics.leader);
  auto pages = board.Pages();
  pages["/readyz"] = [&serving] { return serving.Page(); };
  const auto shown = site.front.Show({.registry = registry, .progress = reign.progress, .pages = std::move(pages)});
  if (!shown) return tl::unexpected(shown.error());
  loop.ResumeSessions();
  if (stop.stop_requested() || (reign.leads && !reign.leads())) return {};
  serving.Begin(stop);
  spdlog::info("Listening on {}{}, ledger {}", options.bind, site.security ? " with keys" : "", site.ledger);
  site.front.Ready(fmt::format("listening on {}{}{}", options.bind, reign.role.empty() ? "" : ", ", reign.role));
  loop.Run(stop);
  return {};
}

}  // namespace dicom_sender
