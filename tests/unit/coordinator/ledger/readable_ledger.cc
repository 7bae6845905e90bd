#include "tests/unit/coordinator/ledger/readable_ledger.h"

#include <stdexcept>

#include "coordinator/ledger/sqlite/sqlite_ledger.h"
#include "tests/unit/coordinator/ledger/ledger_file.h"

#ifdef DICOM_SENDER_POSTGRESQL
#include <libpq-fe.h>

#include <regex>

#include "coordinator/ledger/postgresql/postgresql_ledger.h"
#include "tests/support/postgresql_server.h"
#endif

namespace dicom_sender {
namespace {

class ReadableSqlite : public ReadableLedger {
 public:
  ReadableSqlite() : ledger_(OpenSqliteLedger(file_.path()).value()) {}

  Ledger& ledger() override { return *ledger_; }
  std::string Rows(const std::string& sql) override { return file_.Rows(sql); }
  std::string RowsForAdministrator(const std::string&) override {
    throw std::logic_error("SQLite has no administrator");
  }

 private:
  LedgerFile file_;
  std::unique_ptr<Ledger> ledger_;
};

#ifdef DICOM_SENDER_POSTGRESQL

constexpr Oid kBoolean = 16, kTimestampWithTimeZone = 1184;  // pg_type.dat

// Converts "2023-11-14 22:13:21.2+00" to the format of SQLite's views.
std::string Rfc3339(const std::string& time) {
  static const std::regex form(R"((\S+) (\d\d:\d\d:\d\d)(?:\.(\d+))?\+00)");
  std::smatch parts;
  if (!std::regex_match(time, parts, form)) throw std::runtime_error("no time in UTC: " + time);
  return parts.str(1) + "T" + parts.str(2) + "." + (parts.str(3) + "000").substr(0, 3) + "Z";
}

class ReadablePostgresql : public ReadableLedger {
 public:
  ReadablePostgresql() {
    auto& server = PostgresqlServer::Shared();
    database_ = server.CreateDatabase();
    const PostgresqlOptions options{.uri = server.Uri(database_), .leader_timeout = std::chrono::seconds(30)};
    auto leadership = OpenLeadership(options);
    if (!leadership) throw std::runtime_error(leadership.error().sentence);
    const auto record = (*leadership)->Take((*leadership)->Look(), "test");
    auto ledger = OpenPostgresqlLedger(options, record.value().epoch);
    if (!ledger) throw std::runtime_error(ledger.error().sentence);
    ledger_ = *std::move(ledger);
    connection_.reset(PQconnectdb(options.uri.c_str()));
    Run("SET timezone = 'UTC'");
  }
  ~ReadablePostgresql() override {
    ledger_.reset();
    connection_.reset();
    PostgresqlServer::Shared().Query("postgres", "DROP DATABASE " + database_ + " WITH (FORCE)");
  }

  Ledger& ledger() override { return *ledger_; }
  std::string Rows(const std::string& sql) override {
    const Result rows = Run(sql);
    std::string text;
    for (int row = 0; row < PQntuples(rows.get()); ++row) {
      for (int column = 0; column < PQnfields(rows.get()); ++column) {
        text += (column > 0 ? "|" : "") + Value(rows.get(), row, column);
      }
      text += '\n';
    }
    return text;
  }
  std::string RowsForAdministrator(const std::string& sql) override {
    return PostgresqlServer::Shared().Query(database_, sql);
  }

 private:
  struct Free {
    void operator()(PGconn* connection) const { PQfinish(connection); }
    void operator()(PGresult* result) const { PQclear(result); }
  };
  using Result = std::unique_ptr<PGresult, Free>;

  Result Run(const std::string& sql) {
    Result result(PQexec(connection_.get(), sql.c_str()));
    const ExecStatusType status = PQresultStatus(result.get());
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
      throw std::runtime_error(PQerrorMessage(connection_.get()));
    return result;
  }
  static std::string Value(PGresult* rows, int row, int column) {
    if (PQgetisnull(rows, row, column) != 0) return "NULL";
    const std::string value = PQgetvalue(rows, row, column);
    if (PQftype(rows, column) == kBoolean) return value == "t" ? "1" : "0";
    return PQftype(rows, column) == kTimestampWithTimeZone ? Rfc3339(value) : value;
  }

  std::string database_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<PGconn, Free> connection_;
};

#endif

}  // namespace

#ifdef DICOM_SENDER_POSTGRESQL

std::string WhyNotReadable(SqlDialect dialect) {
  return dialect == SqlDialect::kPostgresql ? PostgresqlServer::WhyUnavailable() : "";
}

std::unique_ptr<ReadableLedger> MakeReadableLedger(SqlDialect dialect) {
  if (dialect == SqlDialect::kPostgresql) return std::make_unique<ReadablePostgresql>();
  return std::make_unique<ReadableSqlite>();
}

#else

std::string WhyNotReadable(SqlDialect dialect) {
  return dialect == SqlDialect::kPostgresql ? "built without PostgreSQL" : "";
}

std::unique_ptr<ReadableLedger> MakeReadableLedger(SqlDialect) { return std::make_unique<ReadableSqlite>(); }

#endif

}  // namespace dicom_sender
