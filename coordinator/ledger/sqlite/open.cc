#include "coordinator/ledger/sqlite/open.h"

#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "coordinator/ledger/ledger.h"
#include "coordinator/ledger/sqlite/schema.h"
#include "coordinator/ledger/views/views.h"

namespace dicom_sender::sqlite {
namespace {

constexpr int kApplicationId = 0x44534C47;  // "DSLG"
constexpr int kCacheKibibytes = 16 << 10;
constexpr int kLogBytesKept = 64 << 20;  // the -wal file is truncated to this size when the log restarts
constexpr std::uintmax_t kCheckedBytesMax = 256 << 20;

tl::unexpected<std::string> Refused(const char* why) { return tl::unexpected(std::string(why)); }

void KeepLogOnClose(Connection& connection, bool keep) {
  sqlite3_db_config(connection.database().getHandle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int{keep}, nullptr);
}

// Detects damage before anything is sent or counted, unless the file is so large that a complete check would delay
// the start; a million instances take half a second. Damage in a larger ledger is detected when the damaged page is
// read.
bool IsWhole(Connection& connection) {
  SQLite::Database& db = connection.database();
  // SQLite pads a truncated last page with zeros instead of reporting it. Only a file with a pending write-ahead log
  // may have any size.
  std::error_code error;
  const bool has_log = std::filesystem::file_size(connection.file() + "-wal", error) > 0 && !error;
  const auto page_bytes = static_cast<std::uintmax_t>(db.execAndGet("PRAGMA page_size").getInt64());
  const auto bytes = std::filesystem::file_size(connection.file(), error);
  if (!has_log && (error || bytes % page_bytes != 0)) return false;
  return bytes > kCheckedBytesMax || db.execAndGet("PRAGMA integrity_check(1)").getString() == "ok";
}

// `version`: the schema version of the file; 0: it has no tables.
bool UpdateSchema(Connection& connection, int version) {
  SQLite::Database& db = connection.database();
  if (version == 0) {
    db.exec(Schema());
  } else {
    db.exec(DropLedgerViews());
    if (!Migrate(connection, version)) return false;
  }
  db.exec(LedgerViews(SqlDialect::kSqlite));
  db.exec(fmt::format("PRAGMA application_id = {}", kApplicationId));
  db.exec(fmt::format("PRAGMA user_version = {}", kSchemaVersion));
  return true;
}

tl::expected<void, std::string> CheckAndUpgrade(Connection& connection) {
  SQLite::Database& db = connection.database();
  // If the file is refused, it must not change, and a -wal file that a killed program left behind must remain.
  KeepLogOnClose(connection, true);
  const int application_id = db.execAndGet("PRAGMA application_id").getInt();
  const int version = db.execAndGet("PRAGMA user_version").getInt();
  const bool empty = db.execAndGet("SELECT count(*) FROM sqlite_master").getInt() == 0;
  if (!empty && application_id != kApplicationId) {
    return Refused("it is not a dicom-sender ledger; name another file");
  }
  if (!empty && version > kSchemaVersion) return Refused("it was written by a newer release; use that release");
  if (!empty && (version < 1 || !IsWhole(connection))) return Refused(kDamaged);
  KeepLogOnClose(connection, false);
  db.execAndGet("PRAGMA journal_mode = WAL");
  db.exec("PRAGMA synchronous = FULL");
  db.exec(fmt::format("PRAGMA cache_size = -{}", kCacheKibibytes));
  db.exec(fmt::format("PRAGMA journal_size_limit = {}", kLogBytesKept));
  connection.ManageLog();
  db.exec("BEGIN IMMEDIATE");
  const int of_tables = empty ? 0 : version;
  if (of_tables < kSchemaVersion && !UpdateSchema(connection, of_tables)) return Refused(kDamaged);
  db.exec("COMMIT");
  return {};
}

}  // namespace

tl::expected<void, std::string> Prepare(Connection& connection) {
  try {
    return CheckAndUpgrade(connection);
  } catch (const SQLite::Exception& error) {
    const int code = error.getErrorCode();
    if (code == SQLITE_FULL || code == SQLITE_IOERR) {
      throw LedgerError(fmt::format("ledger '{}': {}", connection.file(), connection.Explain(error)));
    }
    const bool not_opened = code == SQLITE_CANTOPEN || code == SQLITE_READONLY;
    return tl::unexpected(not_opened ? WhyNotOpened(connection.file()) : connection.Explain(error));
  }
}

// SQLite must also be able to create files in the folder, for the write-ahead log.
std::string WhyNotOpened(const std::string& file) {
  std::error_code ignored;
  const std::filesystem::path path = file;
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  if (std::filesystem::is_directory(path, ignored)) return "it is a folder; name a file";
  const auto denied = [](const char* what, const std::filesystem::path& place, int rights) {
    if (::euidaccess(place.c_str(), rights) == 0) return std::string();
    return fmt::format("{} ({}); fix that and start again", what, std::strerror(errno));
  };
  std::string reason = denied("its folder is not writable", folder, W_OK | X_OK);
  const bool readable = ::euidaccess(file.c_str(), R_OK) == 0, writable = ::euidaccess(file.c_str(), W_OK) == 0;
  if (reason.empty() && readable && !writable) return "it is not writable; give this user write permission";
  if (reason.empty()) reason = denied("it is not readable and writable", path, R_OK | W_OK);
  return reason.empty() ? "it cannot be opened" : reason;
}

std::string WhyNotLocked(const std::string& file, int error) {
  if (error == EAGAIN) return "another process has it open";
  if (error == ENOLCK || error == EINVAL || error == EOPNOTSUPP) {
    return fmt::format("its file system does not support locks ({}); use a local disk", std::strerror(error));
  }
  return WhyNotOpened(file);
}

}  // namespace dicom_sender::sqlite
