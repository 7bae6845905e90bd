#include "coordinator/ledger/sqlite/sqlite_glance.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <sqlite3.h>

#include <filesystem>

namespace dicom_sender {
namespace {

WallTime FromMilliseconds(std::int64_t milliseconds) { return WallTime(std::chrono::milliseconds(milliseconds)); }

// A URI in which no character of the path has a meaning of its own.
std::string ImmutableUri(const std::string& file) {
  std::string uri = "file:";
  for (const char c : std::filesystem::absolute(file).string())
    uri += fmt::format("%{:02x}", static_cast<unsigned char>(c));
  return uri + "?immutable=1";
}

std::optional<SessionRecord> ReadSession(SQLite::Database& db, const std::string& session) {
  SQLite::Statement row(
      db,
      "SELECT key, settings, state, scan_complete, start_ms, end_ms, total, stored, warned, failed, "
      "skipped FROM session WHERE uuid = ?");
  row.bind(1, session);
  if (!row.executeStep()) return std::nullopt;
  SessionRecord record;
  record.key = row.getColumn(0).getInt64();
  const auto settings = row.getColumn(1);
  if (!record.settings.ParseFromArray(settings.getBlob(), settings.getBytes())) return std::nullopt;
  record.state = static_cast<wire::SessionState>(row.getColumn(2).getInt());
  record.scan_complete = row.getColumn(3).getInt() != 0;
  record.start_time = FromMilliseconds(row.getColumn(4).getInt64());
  if (!row.getColumn(5).isNull()) record.end_time = FromMilliseconds(row.getColumn(5).getInt64());
  int column = 6;
  for (auto count : {&Counts::total, &Counts::stored, &Counts::warned, &Counts::failed, &Counts::skipped}) {
    record.counts.*count = static_cast<std::uint64_t>(row.getColumn(column++).getInt64());
  }
  return record;
}

// Without locks and without the log beside the file. A session's settings are in the file if the ledger was
// opened for that (SqliteOptions); the process that uses it may write while this reads.
std::optional<SessionRecord> ReadUnlocked(const std::string& file, const std::string& session) {
  try {
    SQLite::Database db(ImmutableUri(file), SQLite::OPEN_READONLY | SQLite::OPEN_URI);
    return ReadSession(db, session);
  } catch (const SQLite::Exception&) {
    return std::nullopt;
  }
}

}  // namespace

tl::expected<LedgerGlance, std::string> GlanceAtSqliteLedger(const std::string& file, const std::string& session) {
  // The program that used it last has closed it: nothing is to be locked, and no file to be made beside it.
  std::error_code error;
  const bool closed = std::filesystem::file_size(file + "-wal", error) == 0 || error;
  try {
    SQLite::Database db(closed ? ImmutableUri(file) : file, SQLite::OPEN_READONLY | (closed ? SQLite::OPEN_URI : 0));
    return LedgerGlance{.in_use = false, .session = ReadSession(db, session)};
  } catch (const SQLite::Exception& failure) {
    if (failure.getErrorCode() == SQLITE_BUSY) {
      return LedgerGlance{.in_use = true, .session = ReadUnlocked(file, session)};
    }
    return tl::unexpected(fmt::format("ledger {}: {}", file, failure.what()));
  }
}

}  // namespace dicom_sender
