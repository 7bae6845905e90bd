#include "coordinator/ledger/sqlite/sqlite_glance.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <sqlite3.h>

#include <filesystem>

#include "coordinator/ledger/sqlite/ledger_lock.h"

namespace dicom_sender {
namespace {

constexpr int kBusyTimeoutMs = 1000;

WallTime FromMilliseconds(std::int64_t milliseconds) { return WallTime(std::chrono::milliseconds(milliseconds)); }

// Encodes every character of the path, so that none has a special meaning in the URI.
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

}  // namespace

tl::expected<LedgerGlance, std::string> GlanceAtSqliteLedger(const std::string& file, const std::string& session) {
  const bool in_use = LedgerLock::IsHeld(file);
  // After the last program has closed the ledger, reading it requires no lock and no additional file.
  std::error_code error;
  const bool closed = !in_use && (std::filesystem::file_size(file + "-wal", error) == 0 || error);
  try {
    SQLite::Database db(closed ? ImmutableUri(file) : file, SQLite::OPEN_READONLY | (closed ? SQLite::OPEN_URI : 0),
                        kBusyTimeoutMs);
    return LedgerGlance{.in_use = in_use, .session = ReadSession(db, session)};
  } catch (const SQLite::Exception& failure) {
    // A program that has just started may hold the ledger, or one of an older release, which blocks readers.
    if (in_use || failure.getErrorCode() == SQLITE_BUSY) return LedgerGlance{.in_use = true, .session = std::nullopt};
    return tl::unexpected(fmt::format("ledger '{}': {}", file, failure.what()));
  }
}

}  // namespace dicom_sender
