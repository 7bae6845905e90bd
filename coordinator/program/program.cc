#include "coordinator/program/program.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <filesystem>

#include "common/http_server.h"
#include "common/service_manager.h"
#include "coordinator/ledger/sqlite_ledger.h"
#include "coordinator/service/coordinator_loop.h"
#include "coordinator/status/status_board.h"
#include "coordinator/summary/summary.h"
#include "proto/security.h"

namespace dicom_sender {
namespace {

// The loop turns at least once a second, but the summary of a very large session keeps it for a while.
constexpr std::chrono::seconds kStuckAfter(300), kBusyAfter(10);

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

HttpCheck TurnedWithin(const CoordinatorLoop& loop, std::chrono::seconds limit) {
  return [&loop, limit]() -> std::optional<std::string> {
    const Duration silence = MonotonicNow() - loop.last_round();
    if (silence < limit) return std::nullopt;
    return fmt::format("busy for {} s", std::chrono::floor<std::chrono::seconds>(silence).count());
  };
}

class SummaryWriter {
 public:
  SummaryWriter(Ledger& ledger, std::string output_dir) : ledger_(ledger), output_dir_(std::move(output_dir)) {}

  void Write(SessionKey session) {
    const SessionSummary summary = Summarise(ledger_, session, WallNow());
    const Counts& counts = summary.session.counts;
    const auto threads = static_cast<unsigned>(summary.workers.threads);
    const auto files = WriteSummary(ledger_, summary, output_dir_, threads);
    spdlog::info("Session {} ended: {} files, {} stored, {} failed, {} skipped, {} not sent yet; summary {}",
                 summary.session.settings.session(), counts.total, counts.successful(), counts.failed, counts.skipped,
                 summary.pending(), files ? files->summary : "could not be written");
    if (!files) spdlog::error("{}; it is written when the coordinator is started again", files.error());
  }
  // Those that an earlier coordinator did not come to, or could not write.
  void WriteMissing() {
    for (const SessionKey session : ledger_.Sessions()) {
      const SessionRecord record = ledger_.LoadSession(session);
      if (record.end_time && !IsThere(SummaryFilesOf(output_dir_, record).summary, *record.end_time)) Write(session);
    }
  }

 private:
  // One that is older is of an earlier end of the session.
  static bool IsThere(const std::string& summary, WallTime ended) {
    std::error_code error;
    const auto written = std::filesystem::last_write_time(summary, error);
    return !error && std::chrono::file_clock::to_sys(written) >= ended;
  }

  Ledger& ledger_;
  const std::string output_dir_;
};

tl::expected<std::optional<ServerSecurity>, std::string> ReadSecurity(const CoordinatorOptions& options) {
  if (!options.server_key) return std::nullopt;
  auto security = ReadServerSecurity(*options.server_key, *options.client_keys);
  if (!security) return tl::unexpected(std::move(security.error()));
  return *std::move(security);
}

tl::expected<std::unique_ptr<RouterChannel>, std::string> Bind(zmq::context_t& context,
                                                               const CoordinatorOptions& options,
                                                               const std::optional<ServerSecurity>& security) {
  try {
    return std::make_unique<RouterChannel>(context, options.bind, security ? &*security : nullptr);
  } catch (const zmq::error_t& error) {
    return tl::unexpected(
        fmt::format("cannot listen on {}: {}: is another coordinator running, or is it no address of "
                    "this machine?",
                    options.bind, error.what()));
  }
}

}  // namespace

tl::expected<void, std::string> RunCoordinator(const CoordinatorOptions& options, std::stop_token stop) {
  const auto security = ReadSecurity(options);
  if (!security) return tl::unexpected(security.error());
  auto ledger = OpenSqliteLedger(options.ledger);
  if (!ledger) return tl::unexpected(std::move(ledger.error()));

  zmq::context_t context;
  std::optional<ZapHandler> key_check;
  if (*security) key_check.emplace(context, **security);
  auto channel = Bind(context, options, *security);
  if (!channel) return tl::unexpected(std::move(channel.error()));

  const auto registry = std::make_shared<prometheus::Registry>();
  CoordinatorMetrics metrics(*registry);
  Service service(**ledger, ToSchedulerOptions(options), metrics, options.output_dir);
  SummaryWriter summaries(**ledger, options.output_dir);
  StatusBoard board{std::string(ProgramVersion())};
  CoordinatorHooks hooks{.on_ended = [&summaries](SessionKey session) { summaries.Write(session); }};
  if (options.service.metrics) {
    hooks.on_look = [&board](wire::Overview overview, TimePoint now) { board.Show(std::move(overview), now); };
  }
  CoordinatorLoop loop(**channel, service, std::move(hooks));
  std::unique_ptr<HttpServer> http;
  if (options.service.metrics) {
    auto started = HttpServer::Start({.address = *options.service.metrics,
                                      .version = std::string(ProgramVersion()),
                                      .registry = registry,
                                      .health = TurnedWithin(loop, kStuckAfter),
                                      .readiness = TurnedWithin(loop, kBusyAfter),
                                      .pages = board.Pages()});
    if (!started) return tl::unexpected(std::move(started.error()));
    http = *std::move(started);
  }
  loop.ResumeSessions();
  summaries.WriteMissing();
  spdlog::info("Listening on {}{}, ledger {}", options.bind, *security ? " with keys" : "", options.ledger);
  const ServiceManager manager(TurnedWithin(loop, kStuckAfter), stop);
  manager.Ready("listening on " + options.bind);
  loop.Run(stop);
  spdlog::info("Stopped");
  return {};
}

}  // namespace dicom_sender
