#include "coordinator/program/lead.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "common/metrics.h"
#include "coordinator/program/door.h"
#include "coordinator/program/summary_writer.h"
#include "coordinator/service/coordinator_loop.h"
#include "coordinator/status/status_board.h"

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

std::function<HttpPage()> ReadyPage(HttpCheck busy, const std::string& role) {
  return [busy = std::move(busy), text = role.empty() ? "ok" : role]() -> HttpPage {
    if (const auto wrong = busy()) return {.status = 503, .body = *wrong + "\n"};
    return {.body = text + "\n"};
  };
}

}  // namespace

tl::expected<void, std::string> Lead(const Site& site, Ledger& ledger, const Reign& reign, std::stop_token stop) {
  const CoordinatorOptions& options = site.options;
  auto door = Door::Open(options.bind, site.security, reign.bind_within, stop);
  if (!door) return tl::unexpected(std::move(door.error()));

  const auto registry = std::make_shared<prometheus::Registry>();
  CoordinatorMetrics metrics(*registry);
  LeaderMetrics(*registry).leader.Set(1);
  Service service(ledger, ToSchedulerOptions(options), metrics, options.output_dir);
  SummaryWriter summaries(ledger, options.output_dir);
  StatusBoard board{std::string(ProgramVersion())};
  CoordinatorHooks hooks{.on_ended = [&summaries](SessionKey session) { summaries.Write(session); },
                         .leads = reign.leads};
  if (options.service.metrics) {
    hooks.on_look = [&board](wire::Overview overview, TimePoint now) { board.Show(std::move(overview), now); };
  }
  CoordinatorLoop loop((*door)->channel(), service, std::move(hooks));
  const auto last_round = [&loop] { return loop.last_round(); };
  auto pages = board.Pages();
  pages["/readyz"] = ReadyPage(TurnedWithin(last_round, kBusyAfter), reign.role);
  const auto shown = site.front.Show(
      {.registry = registry, .health = TurnedWithin(last_round, kStuckAfter), .pages = std::move(pages)});
  if (!shown) return tl::unexpected(shown.error());
  loop.ResumeSessions();
  summaries.WriteMissing();
  spdlog::info("Listening on {}{}, ledger {}", options.bind, site.security ? " with keys" : "", site.ledger);
  site.front.Ready(fmt::format("listening on {}{}{}", options.bind, reign.role.empty() ? "" : ", ", reign.role));
  loop.Run(stop);
  return {};
}

}  // namespace dicom_sender
