#include "ledger/copy.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <libpq-fe.h>

#include <memory>
#include <numeric>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "common/text.h"
#include "common/time.h"
#include "coordinator/ledger/postgresql/postgresql_ledger.h"
#include "coordinator/ledger/sqlite_ledger.h"

namespace dicom_sender {
namespace {

constexpr std::size_t kBatchBytes = 256 << 10;  // handed to libpq at once
constexpr Duration kProgressInterval = std::chrono::seconds(3);
constexpr Duration kServerPatience = std::chrono::seconds(30);  // for a connection

class Refused : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

std::string Quoted(const std::string& name) { return '"' + name + '"'; }

// --- the target

class Target {
 public:
  explicit Target(const std::string& uri) : name_("PostgreSQL " + RedactedUri(uri)) {
    const std::string timeout =
        std::to_string(std::chrono::duration_cast<std::chrono::seconds>(kServerPatience).count());
    // What stands after the URI wins over it.
    const char* const names[] = {"connect_timeout", "dbname", "client_encoding", "application_name", nullptr};
    const char* const values[] = {timeout.c_str(), uri.c_str(), "UTF8", "dicom-ledger", nullptr};
    connection_.reset(PQconnectdbParams(names, values, 1));
    if (PQstatus(connection_.get()) != CONNECTION_OK) Fail();
    PQsetNoticeProcessor(
        connection_.get(), [](void*, const char*) {}, nullptr);
  }

  std::string Value(const std::string& sql) {  // the first; empty: none, or NULL
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

// --- rows as COPY's text format has them

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

// A table of the SQLite ledger, of which the other one has the same: names and columns of both are equal.
class Table {
 public:
  Table(SQLite::Database& file, std::string name)
      : name_(std::move(name)), rows_(file, "SELECT * FROM " + Quoted(name_)) {
    for (int i = 0; i < rows_.getColumnCount(); ++i) {
      const std::string_view type = rows_.getColumnDeclaredType(i);
      kinds_.push_back(type == "TEXT" ? Kind::kText : type == "BLOB" ? Kind::kBytes : Kind::kNumber);
    }
  }

  // What COPY is to be told.
  std::string Heading() {
    std::string columns;
    for (int i = 0; i < rows_.getColumnCount(); ++i) {
      columns += (i > 0 ? ", " : "") + Quoted(rows_.getColumnName(i));
    }
    return fmt::format("COPY {} ({}) FROM STDIN", Quoted(name_), columns);
  }
  // False: there are no more.
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

  LedgerContent Run() {
    target_.Value("BEGIN");
    // Whatever the user's defaults are: it takes as long as it takes, and is on the disk when it is done.
    for (const char* setting :
         {"statement_timeout = 0", "idle_in_transaction_session_timeout = 0", "synchronous_commit = on"}) {
      target_.Value(fmt::format("SET LOCAL {}", setting));
    }
    // Nobody leads on it meanwhile. Who did knows nothing of what is copied: it leads no more, and reads everything
    // when it leads again.
    target_.Value("UPDATE leadership SET epoch = epoch + 1, leader = '', renewals = 0");
    if (const auto sessions = target_.Number(kCounted[0]); sessions > 0) {
      throw Refused(fmt::format("{} has {} sessions already: name an empty database", target_.name(), sessions));
    }
    for (const std::string& table : Tables()) CopyTable(table);
    ContinueKeys();
    if (Count(target_) != content_) throw LedgerError(target_.name() + ": not all has arrived; nothing was copied");
    target_.Value("COMMIT");
    return content_;
  }

 private:
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
    target_.Value("ANALYZE " + Quoted(name));  // or people's first questions would be answered by reading everything
  }
  void Tell(const std::string& table, std::uint64_t rows) {
    if (const TimePoint now = MonotonicNow(); now >= next_progress_) {
      progress_(table, rows, content_);
      next_progress_ = now + kProgressInterval;
    }
  }

  // Keys are never used twice, not even those that are gone: SQLite remembers the highest ever of some tables.
  void ContinueKeys() {
    for (const auto& row : target_.Rows("SELECT table_name, column_name FROM information_schema.columns"
                                        " WHERE is_identity = 'YES' AND table_schema = current_schema()")) {
      const std::string &table = row[0], &column = row[1];
      const std::int64_t last =
          file_
              .execAndGet(fmt::format("SELECT max(coalesce((SELECT max({}) FROM {}), 0),"
                                      " coalesce((SELECT seq FROM sqlite_sequence WHERE name = '{}'), 0))",
                                      Quoted(column), Quoted(table), table))
              .getInt64();
      if (last > 0)
        target_.Value(fmt::format("SELECT setval(pg_get_serial_sequence('{}', '{}'), {})", table, column, last));
    }
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
                                                    const CopyProgress& progress) {
  // As a coordinator opens it: undamaged, of this release, and nobody else has it.
  if (const auto opened = OpenSqliteLedger(file); !opened) return tl::unexpected(CopyTrouble{opened.error()});
  if (const auto prepared = OpenLeadership({.uri = uri, .leader_timeout = kServerPatience}); !prepared) {
    return tl::unexpected(CopyTrouble{prepared.error().sentence, prepared.error().passing});
  }
  try {
    SQLite::Database database(file, SQLite::OPEN_READWRITE);
    database.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    Target target(uri);
    return Copy(database, target, progress).Run();
  } catch (const SQLite::Exception& error) {
    return tl::unexpected(CopyTrouble{fmt::format("ledger {} cannot be read: {}", file, error.what())});
  } catch (const Refused& error) {
    return tl::unexpected(CopyTrouble{error.what()});
  } catch (const LedgerError& error) {
    return tl::unexpected(CopyTrouble{error.what(), true});
  }
}

}  // namespace dicom_sender
