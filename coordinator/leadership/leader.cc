#include "coordinator/leadership/leader.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <optional>

#include "cli/program_options.h"
#include "common/clock_watch.h"
#include "coordinator/leadership/bound_socket.h"
#include "coordinator/leadership/metrics.h"
#include "coordinator/service/coordinator_loop.h"
#include "coordinator/service/metrics.h"
#include "coordinator/summary/summary_writer.h"
#include "status_page/status_board.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::seconds kBusyAfter(10);

// The time in microseconds grows with each start, and no coordinator grants leases faster than one a microsecond. So
// two ledgers that served the same workers have no lease id in common.
LeaseId LeasesAbove() {
  return static_cast<LeaseId>(std::chrono::floor<std::chrono::microseconds>(WallNow().time_since_epoch()).count());
}

SchedulerOptions OptionsOfThisPhase(SchedulerOptions options) {
  options.leases_above = LeasesAbove();
  options.seed = static_cast<std::uint64_t>(MonotonicNow().time_since_epoch().count());
  return options;
}

// Reports whether this coordinator serves as the leader, and never claims it too early or too long.
class Readiness {
 public:
  Readiness(const LeaderOptions& options, const CoordinatorLoop& loop, prometheus::Gauge& leader)
      : options_(options), loop_(loop), leader_(leader) {}

  void Begin(const std::stop_token& stop) {
    serves_ = true;
    leader_.Set(1);
    on_end_.emplace(stop, [this] { leader_.Set(0); });
  }
  HttpPage Page() const {
    if (!serves_) return {.status = 503, .body = "starting\n"};
    if (options_.is_leader && !options_.is_leader()) return {.status = 503, .body = "no longer the leader\n"};
    if (const auto busy = BusySince(loop_.last_turn(), kBusyAfter)) return {.status = 503, .body = *busy + "\n"};
    return {.body = (options_.role.empty() ? "ok" : options_.role) + "\n"};
  }

 private:
  const LeaderOptions& options_;
  const CoordinatorLoop& loop_;
  prometheus::Gauge& leader_;
  std::atomic<bool> serves_ = false;
  std::optional<std::stop_callback<std::function<void()>>> on_end_;
};

}  // namespace

tl::expected<void, std::string> RunLeader(const CoordinatorContext& context, Ledger& ledger,
                                          const LeaderOptions& options, std::stop_token stop) {
  auto socket = BoundSocket::Bind(context.bind, context.security, options.bind_within, stop);
  if (!socket) return tl::unexpected(std::move(socket.error()));

  const auto registry = std::make_shared<prometheus::Registry>();
  CoordinatorMetrics metrics(*registry);
  LeaderMetrics leader_metrics(*registry);
  EndpointNames endpoints(LookUpHost);
  Service service(ledger, OptionsOfThisPhase(context.scheduler), metrics, context.output_dir, options.progress,
                  [&endpoints](const std::string& host, std::uint32_t port) {
                    return endpoints.Name(host, port, MonotonicNow());
                  });
  SummaryWriter summaries(ledger, context.output_dir, options.progress);
  ClockWatch clock;
  StatusBoard board{std::string(ProgramVersion())};
  CoordinatorHooks hooks{.on_ended = [&summaries](SessionKey session) { summaries.Write(session, MonotonicNow()); },
                         .every_second =
                             [&] {
                               if (options.every_second) options.every_second();
                               summaries.Retry(MonotonicNow());
                               clock.Look();
                             },
                         .on_idle = [&summaries] { return summaries.WriteNextMissing(MonotonicNow()); },
                         .leads = options.is_leader,
                         .progress = options.progress};
  if (context.status.serves_http()) {
    hooks.on_look = [&board](wire::Overview overview) { board.Show(std::move(overview)); };
  }
  CoordinatorLoop loop((*socket)->channel(), service, std::move(hooks));
  Readiness readiness(options, loop, leader_metrics.leader);
  auto pages = board.Pages();
  pages["/readyz"] = [&readiness] { return readiness.Page(); };
  const auto published =
      context.status.Publish({.registry = registry, .progress = options.progress, .pages = std::move(pages)});
  if (!published) return tl::unexpected(published.error());
  loop.ResumeSessions();
  if (stop.stop_requested() || (options.is_leader && !options.is_leader())) return {};
  readiness.Begin(stop);
  spdlog::info("Listening on {}{}, ledger {}", context.bind, context.security ? " with keys" : "",
               context.ledger_name);
  context.status.ReportReady(
      fmt::format("listening on {}{}{}", context.bind, options.role.empty() ? "" : ", ", options.role));
  loop.Run(stop);
  return {};
}

}  // namespace dicom_sender
