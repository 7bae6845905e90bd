#include "bench/benchmark_ledger.h"

#include <filesystem>
#include <stdexcept>

#include "coordinator/ledger/postgresql/postgresql_ledger.h"
#include "coordinator/ledger/sqlite/sqlite_ledger.h"
#include "tests/support/temporary_folder.h"
#ifdef DICOM_SENDER_POSTGRESQL
#include "tests/support/postgresql_server.h"
#endif

namespace dicom_sender {
namespace {

class SqliteStore : public BenchmarkLedger {
 public:
  std::string name() const override { return "SQLite"; }
  std::string place() const override { return folder_ / "ledger.db"; }
  std::uint64_t Bytes() const override { return std::filesystem::file_size(place()); }

 private:
  const TemporaryFolder folder_;
};

#ifdef DICOM_SENDER_POSTGRESQL
class PostgresqlStore : public BenchmarkLedger {
 public:
  std::string name() const override { return "PostgreSQL"; }
  std::string place() const override { return server_.Uri(database_); }
  std::uint64_t Bytes() const override {
    return std::stoull(server_.Query(database_, "SELECT pg_database_size(current_database())"));
  }

 private:
  PostgresqlServer server_{{"fsync=on"}};
  const std::string database_ = server_.CreateDatabase();
};
#endif

std::unique_ptr<Ledger> LeadOn(const std::string& uri) {
  const PostgresqlOptions options{.uri = uri, .leader_timeout = std::chrono::seconds(60)};
  const auto leadership = OpenLeadership(options);
  if (!leadership) throw std::runtime_error(leadership.error().sentence);
  const auto record = (*leadership)->Take((*leadership)->Look(), "benchmark");
  if (!record) throw std::runtime_error("another leader exists on " + RedactedUri(uri));
  auto ledger = OpenPostgresqlLedger(options, record->epoch);
  if (!ledger) throw std::runtime_error(ledger.error().sentence);
  return *std::move(ledger);
}

}  // namespace

std::vector<std::string> BenchmarkLedger::Kinds() {
  std::vector<std::string> kinds{"sqlite"};
#ifdef DICOM_SENDER_POSTGRESQL
  if (PostgresqlServer::Available()) kinds.emplace_back("postgresql");
#endif
  return kinds;
}

std::unique_ptr<BenchmarkLedger> BenchmarkLedger::Make(const std::string& kind) {
#ifdef DICOM_SENDER_POSTGRESQL
  if (kind == "postgresql") return std::make_unique<PostgresqlStore>();
#endif
  if (kind == "sqlite") return std::make_unique<SqliteStore>();
  throw std::runtime_error("unknown or unavailable ledger '" + kind + "'");
}

std::unique_ptr<Ledger> BenchmarkLedger::Open() const { return OpenLedgerAt(place()); }

std::unique_ptr<Ledger> OpenLedgerAt(const std::string& place) {
  if (IsPostgresqlUri(place)) return LeadOn(place);
  auto ledger = OpenSqliteLedger(place);
  if (!ledger) throw std::runtime_error(ledger.error());
  return *std::move(ledger);
}

}  // namespace dicom_sender
