#include "programs/coordinator/program.h"

#include <spdlog/spdlog.h>

#include "coordinator/leadership/elected_coordinator.h"
#include "coordinator/leadership/leader.h"
#include "coordinator/ledger/postgresql/postgresql_ledger.h"
#include "coordinator/ledger/sqlite/ledger_file_watch.h"
#include "coordinator/ledger/sqlite/sqlite_ledger.h"

namespace dicom_sender {
namespace {

tl::expected<std::optional<ServerSecurity>, std::string> ReadSecurity(const CoordinatorOptions& options) {
  if (!options.server_key) return std::nullopt;
  auto security = ReadServerSecurity(*options.server_key, *options.client_keys);
  if (!security) return tl::unexpected("--server-key, --client-keys: " + security.error());
  return *std::move(security);
}

SchedulerOptions ToSchedulerOptions(const CoordinatorOptions& options) {
  return {.lease_ttl = options.lease_ttl,
          .associations_max = options.associations_max,
          .attempts_max = options.attempts_max};
}

// A coordinator whose ledger is a file is always the leader, because no other one can share it.
tl::expected<void, std::string> RunSingleCoordinator(const CoordinatorContext& context, const std::string& file,
                                                     const std::stop_token& stop) {
  const auto ledger = OpenSqliteLedger(file);
  if (!ledger) return tl::unexpected("--ledger: " + ledger.error());
  const LedgerFileWatch watch(file);
  return RunLeader(context, **ledger, {.every_second = [&watch] { watch.Check(); }}, stop);
}

}  // namespace

tl::expected<void, std::string> RunCoordinator(const CoordinatorOptions& options, std::stop_token stop) {
  auto security = ReadSecurity(options);
  if (!security) return tl::unexpected(std::move(security.error()));
  const bool shared = IsPostgresqlUri(options.ledger);
  StatusEndpoint status(options.service.metrics, stop);
  const CoordinatorContext context{.bind = options.bind,
                                   .output_dir = options.output_dir,
                                   .scheduler = ToSchedulerOptions(options),
                                   .ledger_name = shared ? RedactedUri(options.ledger) : options.ledger,
                                   .leader_timeout = options.leader_timeout.value_or(kDefaultLeaderTimeout),
                                   .security = *std::move(security),
                                   .status = status};
  auto done =
      shared ? RunElectedCoordinator(context, SharedPostgresqlLedger(options.ledger, context.leader_timeout), stop)
             : RunSingleCoordinator(context, options.ledger, stop);
  if (done) spdlog::info("Stopped");
  return done;
}

}  // namespace dicom_sender
