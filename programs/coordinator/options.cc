#include "programs/coordinator/options.h"

#include <fmt/format.h>

#include "coordinator/ledger/postgresql/postgresql_ledger.h"
#include "transport/security.h"

namespace dicom_sender {
namespace {

using std::chrono::seconds;

constexpr const char* kProgram = "dicom-coordinator";

// Without a leader, no lease is renewed. So a lease must outlast the longest failover plus the time that workers need
// to find the new leader.
constexpr int kFailOverTimeouts = 3;
constexpr seconds kFindLeaderWithin(5);

std::vector<OptionGroup> Groups(CoordinatorOptions& o) {
  return {
      {"Network",
       {{0, "bind", "ENDPOINT",
         "where indexers, workers, and dicom-ctl connect; tcp://*:5555 for all addresses of this machine (default: "
         "tcp://127.0.0.1:5555)",
         SetBindEndpoint(o.bind)},
        OwnVariable({0, "server-key", "FILE",
                     "the coordinator's secret key, made by 'dicom-ctl keygen'; needs --client-keys",
                     SetText(o.server_key)}),
        {0, "client-keys", "DIR", "the public keys (*.key) of all clients that may connect; needs --server-key",
         SetText(o.client_keys)},
        {0, "insecure", nullptr, "accept other machines without keys", SetSwitch(o.insecure)}}},
      {"Sessions",
       {{0, "ledger", "FILE|URI",
         "a file, created if missing, or a PostgreSQL database that several coordinators may share, "
         "postgresql://USER@HOST:PORT/DATABASE",
         SetText(o.ledger)},
        {0, "leader-timeout", "TIME",
         "how long the leader of a shared ledger may be silent before another coordinator takes over, 1s to 1m; the "
         "same for all of them. --lease-ttl must be at least three times as long plus 5s (default: 5s)",
         SetTime(o.leader_timeout, seconds(1), seconds(60))},
        OwnVariable({0, "output-dir", "DIR", "folder for the summaries of sessions; created if missing (default: .)",
                     SetText(o.output_dir)}),
        {0, "lease-ttl", "TIME",
         "how long a silent worker keeps its studies, 5s to 1h; longer than it takes to read or decode the largest "
         "file (default: 1m)",
         SetTime(o.lease_ttl, seconds(5), seconds(3600))},
        {0, "max-associations-per-destination", "N",
         "simultaneous associations to one destination; 0: no limit (default: 0)",
         SetNumber(o.associations_max, 0, 100'000)},
        OwnVariable({0, "max-attempts", "N",
                     "attempts for one instance, whatever its session allows; 0: no limit (default: 0)",
                     SetNumber(o.attempts_max, 0, 100)})}},
      ServiceGroup(o.service)};
}

Program Describe(CoordinatorOptions& options) {
  return {.name = kProgram,
          .about =
              "Runs the sessions of a migration that is spread over several machines: takes the files that\n"
              "dicom-indexer finds, leases the studies to dicom-worker, records what happened to each instance\n"
              "in the ledger, and writes the summaries. After a restart on the same ledger, it continues all\n"
              "sessions. When several coordinators share a PostgreSQL ledger, one is the leader and the others\n"
              "are standbys. With --metrics, it serves a status page at http://HOST:PORT/.\n"
              "\n"
              "  dicom-coordinator --ledger FILE|URI [OPTION ...]\n",
          .groups = Groups(options),
          .epilogue =
              "Examples\n"
              "  dicom-coordinator --ledger /var/lib/dicom-sender/ledger.db --output-dir /var/lib/dicom-sender\n"
              "  dicom-coordinator --ledger ledger.db --bind tcp://*:5555 --server-key coordinator.key_secret \\\n"
              "      --client-keys keys/ --metrics 127.0.0.1:9464\n"
              "  dicom-coordinator --ledger postgresql://dicom_sender@db.example.org/dicom_sender \\\n"
              "      --bind tcp://*:5555 --server-key coordinator.key_secret --client-keys keys/\n"
              "\n"
              "Exit status\n"
              "  0  stopped by a signal\n"
              "  2  wrong usage, or a ledger, folder, key, or address that cannot be used\n"
              "  70 internal error\n"
              "  74 the ledger's file cannot be written or is gone; fix that and start the coordinator again\n"};
}

Checked CheckKeys(const CoordinatorOptions& options) {
  if (options.server_key.has_value() != options.client_keys.has_value()) {
    return tl::unexpected(std::string("--server-key and --client-keys belong together: give both or none"));
  }
  if (options.server_key || options.insecure || IsLoopback(options.bind)) return {};
  return tl::unexpected(
      fmt::format("--bind: '{}' is open to other machines: give --server-key and --client-keys, or --insecure to "
                  "accept them without keys",
                  options.bind));
}

Checked CheckFailOver(const CoordinatorOptions& options) {
  const auto timeout =
      std::chrono::ceil<std::chrono::seconds>(options.leader_timeout.value_or(kDefaultLeaderTimeout));
  const std::chrono::seconds least = kFailOverTimeouts * timeout + kFindLeaderWithin;
  if (options.lease_ttl >= least) return {};
  return tl::unexpected(fmt::format(
      "--lease-ttl: {} s is shorter than a failover with a leader timeout of {} s can take, and all leases "
      "would expire: give --lease-ttl {} or more, or a shorter --leader-timeout",
      options.lease_ttl.count(), timeout.count(), least.count()));
}

Checked CheckLedger(const CoordinatorOptions& options) {
  if (options.ledger.empty()) {
    return tl::unexpected(std::string("--ledger is missing: name the file, or the URI of a database"));
  }
  if (IsPostgresqlUri(options.ledger)) {
    if (const auto checked = CheckUri(options.ledger); !checked) {
      return tl::unexpected("--ledger: " + checked.error());
    }
    return CheckFailOver(options);
  }
  if (!options.leader_timeout) return {};
  return tl::unexpected(std::string(
      "--leader-timeout is for coordinators that share a PostgreSQL ledger: leave it out, or give such a --ledger"));
}

Checked CheckFolder(const CoordinatorOptions& options) {
  if (auto usable = PrepareOutputFolder(options.output_dir, /*create=*/true); !usable) {
    return tl::unexpected("--output-dir: " + usable.error());
  }
  return {};
}

}  // namespace

tl::expected<CoordinatorOptions, EarlyExit> ParseCoordinatorOptions(int argc, const char* const* argv,
                                                                    const Environment& environment) {
  CoordinatorOptions options;
  const auto given = ParseProgram(Describe(options), argc, argv, environment);
  if (!given) return tl::unexpected(given.error());
  for (const auto check : {CheckKeys, CheckLedger, CheckFolder}) {
    if (const auto checked = check(options); !checked) return UsageError(kProgram, checked.error());
  }
  return options;
}

}  // namespace dicom_sender
