#include "programs/ledger/copy.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <libpq-fe.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "common/text.h"
#include "common/time.h"
#include "coordinator/ledger/postgresql/postgresql_ledger.h"
#include "coordinator/ledger/sqlite/sqlite_ledger.h"

namespace dicom_sender {
namespace {

constexpr std::size_t kBatchBytes = 256 << 10;  // handed to libpq at once
constexpr Duration kProgressInterval = std::chrono::seconds(3);
// The database numbers sessions, studies, roots, pairs, and workers.
constexpr std::size_t kNumberedTables = 5;

class Refused : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class OutcomeUnknown : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

std::string Quoted(const std::string& name) { return '"' + name + '"'; }

// --- the target

class Target {
 public:
  Target(const std::string& uri, Duration patience) : name_("PostgreSQL " + RedactedUri(uri)) {
    const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(patience).count();
    const std::string timeout = std::to_string(std::max<std::int64_t>(1, milliseconds / 1000));
    const std::string timeout_ms = std::to_string(milliseconds);
    const std::string silence = std::to_string(std::max<std::int64_t>(1, milliseconds / 3000));
    // Keywords after the URI override it. The timeouts end the connection if the server's host is silent.
    const char* const names[] = {"connect_timeout",     "dbname",           "client_encoding",
                                 "application_name",    "tcp_user_timeout", "keepalives_idle",
                                 "keepalives_interval", "keepalives_count", nullptr};
    const char* const values[] = {timeout.c_str(), uri.c_str(),     "UTF8", "dicom-ledger", timeout_ms.c_str(),
                                  silence.c_str(), silence.c_str(), "2",    nullptr};
    connection_.reset(PQconnectdbParams(names, values, 1));
    if (PQstatus(connection_.get()) != CONNECTION_OK) Fail();
    PQsetNoticeProcessor(
        connection_.get(), [](void*, const char*) {}, nullptr);
  }

  std::string Value(const std::string& sql) {  // the first value; empty if it is NULL or missing
    const Result result = Run(sql);
    return PQntuples(result.get()) > 0 ? PQgetvalue(result.get(), 0, 0) : "";
  }
  std::uint64_t Number(const std::string& sql) { return std::stoull(Value(sql)); }
  std::vector<std::vector<std::string>> Rows(const std::string& sql) {
    const Result result = Run(sql);
    std::vector<std::vector<std::string>> rows(static_cast<std::size_t>(PQntuples(result.get())));
    for (int row = 0; row < PQntuples(result.get()); ++row) {
      for (int column = 0; column < PQnfields(result.get()); ++column) {
        rows[static_cast<std::size_t>(row)].emplace_back(PQgetvalue(result.get(), row, column));
      }
    }
    return rows;
  }

  void BeginCopy(const std::string& sql) { Run(sql); }
  void Put(const std::string& lines) {
    if (PQputCopyData(connection_.get(), lines.data(), static_cast<int>(lines.size())) != 1) Fail();
  }
  void EndCopy() {
    if (PQputCopyEnd(connection_.get(), nullptr) != 1) Fail();
    Check(Result(PQgetResult(connection_.get())));
    while (Result(PQgetResult(connection_.get()))) {
    }
  }

  const std::string& name() const { return name_; }
  bool lost() const { return PQstatus(connection_.get()) != CONNECTION_OK; }

 private:
  struct Close {
    void operator()(PGconn* connection) const { PQfinish(connection); }
    void operator()(PGresult* result) const { PQclear(result); }
  };
  using Result = std::unique_ptr<PGresult, Close>;

  Result Run(const std::string& sql) { return Check(Result(PQexec(connection_.get(), sql.c_str()))); }
  Result Check(Result result) {
    const ExecStatusType status = PQresultStatus(result.get());
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_COPY_IN) Fail();
    return result;
  }
  [[noreturn]] void Fail() {
    const std::string_view message = PQerrorMessage(connection_.get());
    throw LedgerError(fmt::format("{}: {}", name_, ToPrintable(message.substr(0, message.find('\n')))));
  }

  const std::string name_;
  std::unique_ptr<PGconn, Close> connection_;
};

// --- rows in COPY's text format

void AppendEscaped(std::string_view text, std::string& out) {
  for (const char c : text) {
    switch (c) {
      case '\\':
        out += "\\\\";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      default:
        out += c;
    }
  }
}

void AppendHex(std::string_view bytes, std::string& out) {
  constexpr const char* kDigits = "0123456789abcdef";
  out += "\\\\x";
  for (const char c : bytes) {
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[static_cast<unsigned char>(c) & 15];
  }
}

// A table of the SQLite ledger. PostgreSQL's ledger has a table with the same name and the same columns.
class Table {
 public:
  Table(SQLite::Database& file, std::string name)
      : name_(std::move(name)), rows_(file, "SELECT * FROM " + Quoted(name_)) {
    for (int i = 0; i < rows_.getColumnCount(); ++i) {
      const std::string_view type = rows_.getColumnDeclaredType(i);
      kinds_.push_back(type == "TEXT" ? Kind::kText : type == "BLOB" ? Kind::kBytes : Kind::kNumber);
    }
  }

  // The COPY statement.
  std::string Heading() {
    std::string columns;
    for (int i = 0; i < rows_.getColumnCount(); ++i) {
      columns += (i > 0 ? ", " : "") + Quoted(rows_.getColumnName(i));
    }
    return fmt::format("COPY {} ({}) FROM STDIN", Quoted(name_), columns);
  }
  // False if all rows are read.
  bool AppendNext(std::string& out) {
    if (!rows_.executeStep()) return false;
    for (int i = 0; i < rows_.getColumnCount(); ++i) {
      if (i > 0) out += '\t';
      AppendValue(rows_.getColumn(i), kinds_[static_cast<std::size_t>(i)], out);
    }
    out += '\n';
    return true;
  }
  const std::string& name() const { return name_; }

 private:
  enum class Kind { kNumber, kText, kBytes };

  static void AppendValue(const SQLite::Column& value, Kind kind, std::string& out) {
    if (value.isNull()) {
      out += "\\N";
      return;
    }
    if (kind == Kind::kNumber) {
      fmt::format_to(std::back_inserter(out), "{}", value.getInt64());
      return;
    }
    const auto* data = static_cast<const char*>(value.getBlob());
    const std::string_view bytes(data, data == nullptr ? 0 : static_cast<std::size_t>(value.getBytes()));
    kind == Kind::kBytes ? AppendHex(bytes, out) : AppendEscaped(EncodedText(bytes), out);
  }

  const std::string name_;
  SQLite::Statement rows_;
  std::vector<Kind> kinds_;
};

// --- the copy

constexpr const char* kCounted[] = {"SELECT count(*) FROM session", "SELECT count(*) FROM study"};
constexpr const char* kCountedInstances = "SELECT state, count(*) FROM instance GROUP BY state";

LedgerContent Count(SQLite::Database& file) {
  LedgerContent content;
  content.sessions = static_cast<std::uint64_t>(file.execAndGet(kCounted[0]).getInt64());
  content.studies = static_cast<std::uint64_t>(file.execAndGet(kCounted[1]).getInt64());
  SQLite::Statement rows(file, kCountedInstances);
  while (rows.executeStep()) {
    content.instances.at(rows.getColumn(0).getUInt()) = static_cast<std::uint64_t>(rows.getColumn(1).getInt64());
  }
  return content;
}

LedgerContent Count(Target& target) {
  LedgerContent content;
  content.sessions = target.Number(kCounted[0]);
  content.studies = target.Number(kCounted[1]);
  for (const auto& row : target.Rows(kCountedInstances))
    content.instances.at(std::stoul(row[0])) = std::stoull(row[1]);
  return content;
}

class Copy {
 public:
  Copy(SQLite::Database& file, Target& target, const CopyProgress& progress)
      : file_(file), target_(target), progress_(progress), content_(Count(file)) {}

  LedgerContent Run(const PostgresqlOptions& options) {
    target_.Value("BEGIN");
    // Override the user's defaults: the copy may take long, and it must be on disk when it is done.
    for (const char* setting :
         {"statement_timeout = 0", "idle_in_transaction_session_timeout = 0", "synchronous_commit = on"}) {
      target_.Value(fmt::format("SET LOCAL {}", setting));
    }
    // No coordinator may be the leader during the copy. A previous leader does not know the copied sessions: the new
    // epoch makes it a standby, which reads everything when it becomes the leader again.
    target_.Value("UPDATE leadership SET epoch = epoch + 1, leader = '', renewals = 0");
    if (const auto sessions = target_.Number(kCounted[0]); sessions > 0) {
      throw Refused(fmt::format("{} already has {} sessions: name an empty database", target_.name(), sessions));
    }
    for (const std::string& table : Tables()) CopyTable(table);
    ContinueKeys();
    if (Count(target_) != content_) throw LedgerError(target_.name() + ": not all rows arrived; nothing was copied");
    Commit(options);
    return content_;
  }

 private:
  void Commit(const PostgresqlOptions& options) {
    const std::string transaction = target_.Value("SELECT pg_current_xact_id()::text");
    const std::string history = target_.Value(kHistoryQuery);
    try {
      target_.Value("COMMIT");
    } catch (const LedgerError&) {
      if (!target_.lost()) throw;
      if (!WasCommitted(options, transaction, history)) {
        throw LedgerError(target_.name() +
                          ": the connection was lost at the end, and nothing was copied: run it again");
      }
    }
  }
  bool WasCommitted(const PostgresqlOptions& options, const std::string& transaction, const std::string& history) {
    try {
      const auto outcome = PostgresqlConnection(options, options.leader_timeout).FindOutcome(transaction, history);
      if (outcome) return *outcome;
    } catch (const PostgresqlError&) {  // the outcome stays unknown
    }
    throw OutcomeUnknown(
        target_.name() +
        ": the connection was lost at the end; it is unknown whether all was copied: run it again, and"
        " it says so");
  }

  std::vector<std::string> Tables() {
    std::vector<std::string> names;
    SQLite::Statement rows(file_, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'");
    while (rows.executeStep()) names.push_back(rows.getColumn(0).getString());
    return names;
  }

  void CopyTable(const std::string& name) {
    Table table(file_, name);
    target_.BeginCopy(table.Heading());
    std::string lines;
    std::uint64_t copied = 0;
    for (; table.AppendNext(lines); ++copied) {
      if (lines.size() < kBatchBytes) continue;
      target_.Put(lines);
      lines.clear();
      Tell(name, copied);
    }
    target_.Put(lines);
    target_.EndCopy();
    target_.Value("ANALYZE " + Quoted(name));  // so that the first queries do not scan whole tables
  }
  void Tell(const std::string& table, std::uint64_t rows) {
    if (const TimePoint now = MonotonicNow(); now >= next_progress_) {
      progress_(table, rows, content_);
      next_progress_ = now + kProgressInterval;
    }
  }

  // Keys are never reused, not even those of deleted rows: SQLite keeps the highest key ever used for some tables.
  void ContinueKeys() {
    std::size_t continued = 0;
    for (const std::string& table : Tables()) {
      // The table may be in any schema of the search_path.
      for (const auto& row : target_.Rows(fmt::format(
               "SELECT attname, pg_get_serial_sequence(attrelid::regclass::text, attname) FROM pg_attribute"
               " WHERE attrelid = '{}'::regclass AND attidentity <> ''",
               Quoted(table)))) {
        ContinueKeys(table, row[0], row[1]);
        ++continued;
      }
    }
    if (continued != kNumberedTables) {
      throw LedgerError(target_.name() + ": its tables are not those of this release; nothing was copied");
    }
  }
  void ContinueKeys(const std::string& table, const std::string& column, const std::string& sequence) {
    const std::int64_t last =
        file_
            .execAndGet(fmt::format("SELECT max(coalesce((SELECT max({}) FROM {}), 0),"
                                    " coalesce((SELECT seq FROM sqlite_sequence WHERE name = '{}'), 0))",
                                    Quoted(column), Quoted(table), table))
            .getInt64();
    if (last > 0) target_.Value(fmt::format("SELECT setval('{}', {})", sequence, last));
  }

  SQLite::Database& file_;
  Target& target_;
  const CopyProgress& progress_;
  const LedgerContent content_;
  TimePoint next_progress_ = MonotonicNow() + kProgressInterval;
};

}  // namespace

std::uint64_t LedgerContent::all_instances() const {
  return std::accumulate(instances.begin(), instances.end(), std::uint64_t{0});
}

tl::expected<LedgerContent, CopyTrouble> CopyLedger(const std::string& file, const std::string& uri,
                                                    const CopyProgress& progress, Duration patience) {
  using Kind = CopyTrouble::Kind;
  const PostgresqlOptions options{.uri = uri, .leader_timeout = patience};
  // Opening it as a coordinator does checks it for damage, upgrades it to this release, and locks out other programs.
  const auto opened = OpenSqliteLedger(file);
  if (!opened) return tl::unexpected(CopyTrouble{opened.error()});
  if (const auto prepared = OpenLeadership(options); !prepared) {
    return tl::unexpected(
        CopyTrouble{prepared.error().sentence, prepared.error().passing ? Kind::kServer : Kind::kRefused});
  }
  try {
    SQLite::Database database(file, SQLite::OPEN_READONLY);
    database.exec("BEGIN");
    Target target(uri, patience);
    return Copy(database, target, progress).Run(options);
  } catch (const SQLite::Exception& error) {
    return tl::unexpected(CopyTrouble{fmt::format("ledger {} cannot be read: {}", file, error.what())});
  } catch (const Refused& error) {
    return tl::unexpected(CopyTrouble{error.what()});
  } catch (const LedgerError& error) {
    return tl::unexpected(CopyTrouble{error.what(), Kind::kServer});
  } catch (const OutcomeUnknown& error) {
    return tl::unexpected(CopyTrouble{error.what(), Kind::kUnknown});
  }
}

}  // namespace dicom_sender
