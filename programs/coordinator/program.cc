#include "programs/coordinator/program.h"

#include <spdlog/spdlog.h>

#include "coordinator/ledger/sqlite/ledger_file_watch.h"
#include "coordinator/ledger/sqlite/sqlite_ledger.h"
#include "programs/coordinator/lead.h"
#include "programs/coordinator/succession.h"

namespace dicom_sender {
namespace {

tl::expected<std::optional<ServerSecurity>, std::string> ReadSecurity(const CoordinatorOptions& options) {
  if (!options.server_key) return std::nullopt;
  auto security = ReadServerSecurity(*options.server_key, *options.client_keys);
  if (!security) return tl::unexpected("--server-key, --client-keys: " + security.error());
  return *std::move(security);
}

tl::expected<void, std::string> LeadAlone(const Site& site, const std::stop_token& stop) {
  const auto ledger = OpenSqliteLedger(site.options.ledger);
  if (!ledger) return tl::unexpected("--ledger: " + ledger.error());
  const LedgerFileWatch watch(site.options.ledger);
  return Lead(site, **ledger, {.every_second = [&watch] { watch.Check(); }}, stop);
}

}  // namespace

tl::expected<void, std::string> RunCoordinator(const CoordinatorOptions& options, std::stop_token stop) {
  auto security = ReadSecurity(options);
  if (!security) return tl::unexpected(std::move(security.error()));
  const bool shared = IsPostgresqlUri(options.ledger);
  Front front(options.service.metrics, stop);
  const Site site{.options = options,
                  .ledger = shared ? RedactedUri(options.ledger) : options.ledger,
                  .leader_timeout = options.leader_timeout.value_or(kDefaultLeaderTimeout),
                  .security = *std::move(security),
                  .front = front};
  auto done = shared ? RunSuccession(site, PostgresqlStore(options.ledger, site.leader_timeout), stop)
                     : LeadAlone(site, stop);
  if (done) spdlog::info("Stopped");
  return done;
}

}  // namespace dicom_sender
