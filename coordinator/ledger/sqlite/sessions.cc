#include "coordinator/ledger/sqlite/sessions.h"

#include <fmt/format.h>

#include "coordinator/ledger/predicates.h"

namespace dicom_sender::sqlite {
namespace {

std::string SessionColumns() {
  return "key, settings, state, end_reason, scan_complete, start_ms, end_ms, studies, ending, worked_ms, "
         "run_start_ms, " +
         CountNames();
}

SessionRecord ReadSession(Store& store, SQLite::Statement& row) {
  SessionRecord record;
  record.key = row.getColumn(0).getInt64();
  const auto settings = row.getColumn(1);
  if (!record.settings.ParseFromArray(settings.getBlob(), settings.getBytes())) {
    throw LedgerError(fmt::format("ledger '{}': {}", store.file(), kDamaged));
  }
  record.state = static_cast<wire::SessionState>(row.getColumn(2).getInt());
  record.end_reason = row.getColumn(3).getString();
  record.scan_complete = row.getColumn(4).getInt() != 0;
  record.start_time = FromMilliseconds(row.getColumn(5).getInt64());
  record.end_time = ReadTime(row, 6);
  record.studies = static_cast<std::uint64_t>(row.getColumn(7).getInt64());
  if (!row.getColumn(8).isNull()) record.ending = static_cast<wire::SessionState>(row.getColumn(8).getInt());
  record.worked = std::chrono::milliseconds(row.getColumn(9).getInt64());
  record.run_start = ReadTime(row, 10);
  record.counts = ReadCounts(row, 11);
  row.reset();
  store.growths().AddTo(record);
  auto& ignored =
      store.db().Query("SELECT reason, sum(files) FROM ignored WHERE session = ? GROUP BY reason", record.key);
  while (ignored.executeStep()) {
    record.ignored[ignored.getColumn(0).getString()] = static_cast<std::uint64_t>(ignored.getColumn(1).getInt64());
  }
  return record;
}

}  // namespace

SessionRecord CreateSession(Store& store, const wire::OpenSession& settings, WallTime now) {
  store.db().Execute(
      "INSERT INTO session (uuid, settings, state, start_ms, run_start_ms) VALUES (?1, x'', ?2, ?3, ?3)",
      settings.session(), std::int64_t{wire::SESSION_SCANNING}, Milliseconds(now));
  const SessionKey session = store.db().LastInsertedKey();
  WriteSettings(store.db(), session, settings);
  return LoadSession(store, session);
}

std::optional<SessionRecord> FindSession(Store& store, std::string_view uuid) {
  auto& row = store.db().Query("SELECT " + SessionColumns() + " FROM session WHERE uuid = ?", uuid);
  if (!row.executeStep()) return std::nullopt;
  return ReadSession(store, row);
}

SessionRecord LoadSession(Store& store, SessionKey session) {
  auto& row = store.db().Query("SELECT " + SessionColumns() + " FROM session WHERE key = ?", session);
  if (!row.executeStep())
    throw LedgerError(fmt::format("ledger '{}': session {} does not exist", store.file(), session));
  return ReadSession(store, row);
}

std::vector<SessionKey> Sessions(Store& store) {
  std::vector<SessionKey> keys;
  auto& rows = store.db().Query("SELECT key FROM session ORDER BY key");
  while (rows.executeStep()) keys.push_back(rows.getColumn(0).getInt64());
  return keys;
}

void SetSettings(Store& store, SessionKey session, const wire::OpenSession& settings) {
  WriteSettings(store.db(), session, settings);
}

// The settings that the views show have their own columns.
void WriteSettings(Connection& connection, SessionKey session, const wire::OpenSession& settings) {
  const std::string bytes = settings.SerializeAsString();
  const auto& destination = settings.destination();
  connection.Execute(
      "UPDATE session SET settings = ?, called_ae = ?, calling_ae = ?, host = ?, port = ? WHERE key = ?", Blob{bytes},
      destination.called_ae(), destination.calling_ae(), destination.host(), std::int64_t{destination.port()},
      session);
}

bool BeginScan(Store& store, SessionKey session, std::string_view indexer, std::uint64_t& scan) {
  auto& row = store.db().Query("SELECT number FROM scan WHERE session = ? AND indexer = ?", session, Blob{indexer});
  const bool known = row.executeStep();
  const auto last = known ? static_cast<std::uint64_t>(row.getColumn(0).getInt64()) : 0;
  row.reset();
  if (known && scan <= last) {
    scan = last;
    return false;
  }
  store.db().Execute("INSERT OR REPLACE INTO scan VALUES (?, ?, ?, 0)", session, Blob{indexer},
                     static_cast<std::int64_t>(scan));
  store.db().Execute("DELETE FROM ignored WHERE session = ? AND indexer = ?", session, Blob{indexer});
  store.db().Execute("DELETE FROM unread WHERE session = ? AND indexer = ?", session, Blob{indexer});
  store.db().Execute("UPDATE session SET scan_complete = 0 WHERE key = ?", session);
  return true;
}

void CompleteScan(Store& store, SessionKey session, std::string_view indexer, std::uint64_t scan,
                  const std::map<std::string, std::uint64_t>& ignored) {
  store.db().Execute("UPDATE scan SET complete = 1 WHERE session = ? AND indexer = ? AND number = ? AND NOT complete",
                     session, Blob{indexer}, static_cast<std::int64_t>(scan));
  if (store.db().ChangedRows() == 0) return;
  for (const auto& [reason, files] : ignored) {
    store.db().Execute("INSERT INTO ignored VALUES (?, ?, ?, ?)", session, Blob{indexer}, reason,
                       static_cast<std::int64_t>(files));
  }
  store.db().Execute(
      "UPDATE session SET scan_complete = NOT EXISTS (SELECT 1 FROM scan WHERE session = ?1 AND NOT complete)"
      " WHERE key = ?1",
      session);
}

void AddUnread(Store& store, SessionKey session, std::string_view indexer, std::span<const UnreadPath> paths) {
  for (const UnreadPath& unread : paths) {
    store.db().Execute("INSERT OR REPLACE INTO unread VALUES (?, ?, ?, ?, ?)", session, Blob{unread.path},
                       Blob{indexer}, std::int64_t{unread.is_folder}, unread.reason);
  }
}

std::vector<UnreadPath> Unread(Store& store, SessionKey session, std::string_view after, std::size_t limit) {
  std::vector<UnreadPath> paths;
  auto& rows = store.db().Query(
      "SELECT path, folder, reason FROM unread WHERE session = ? AND path > ? GROUP BY path ORDER BY path LIMIT ?",
      session, Blob{after}, static_cast<std::int64_t>(limit));
  while (rows.executeStep()) {
    paths.push_back({.path = rows.getColumn(0).getString(),
                     .is_folder = rows.getColumn(1).getInt() != 0,
                     .reason = rows.getColumn(2).getString()});
  }
  rows.reset();
  return paths;
}

std::vector<ScanRecord> Scans(Store& store, SessionKey session) {
  std::vector<ScanRecord> scans;
  auto& rows = store.db().Query("SELECT indexer, complete FROM scan WHERE session = ? ORDER BY indexer", session);
  while (rows.executeStep()) scans.push_back({rows.getColumn(0).getString(), rows.getColumn(1).getInt() != 0});
  return scans;
}

void SetSessionState(Store& store, SessionKey session, wire::SessionState state, std::string_view end_reason,
                     WallTime now) {
  if (IsRunning(state)) {
    store.db().Execute(
        "UPDATE session SET state = ?1, end_reason = '', end_ms = NULL, run_start_ms = coalesce(run_start_ms, ?2)"
        " WHERE key = ?3",
        std::int64_t{state}, Milliseconds(now), session);
  } else {
    store.db().Execute(
        "UPDATE session SET state = ?1, end_reason = ?2, end_ms = ?3, ending = NULL,"
        " worked_ms = worked_ms + max(?3 - coalesce(run_start_ms, ?3), 0), run_start_ms = NULL WHERE key = ?4",
        std::int64_t{state}, end_reason, Milliseconds(now), session);
  }
}

void BeginRun(Store& store, SessionKey session, WallTime now) {
  store.db().Execute(
      "UPDATE session SET worked_ms = worked_ms + max(0, coalesce((SELECT max(last_outcome_ms) FROM study"
      " WHERE session = ?1), 0) - coalesce(run_start_ms, ?2)), run_start_ms = ?2 WHERE key = ?1",
      session, Milliseconds(now));
}

void SetEnding(Store& store, SessionKey session, std::optional<wire::SessionState> state) {
  if (state) return store.db().Execute("UPDATE session SET ending = ? WHERE key = ?", std::int64_t{*state}, session);
  store.db().Execute("UPDATE session SET ending = NULL WHERE key = ?", session);
}

}  // namespace dicom_sender::sqlite
