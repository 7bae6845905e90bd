#include "coordinator/ledger/postgresql/sessions.h"

#include <fmt/format.h>

#include "coordinator/ledger/predicates.h"

namespace dicom_sender::postgresql {
namespace {

const std::string& SessionSelect() {
  static const std::string sql =
      "SELECT key, settings, state, end_reason, scan_complete, start_ms, end_ms, studies, ending, worked_ms, "
      "run_start_ms, " +
      CountNames() + " FROM session ";
  return sql;
}

SessionRecord ReadSession(Store& store, const PostgresqlRows& rows) {
  SessionRecord record;
  record.key = rows.Int(0, 0);
  const std::string_view settings = rows.Bytes(0, 1);
  if (!record.settings.ParseFromArray(settings.data(), static_cast<int>(settings.size()))) store.db().RefuseDamage();
  record.state = static_cast<wire::SessionState>(rows.Int(0, 2));
  record.end_reason = rows.Text(0, 3);
  record.scan_complete = rows.Int(0, 4) != 0;
  record.start_time = FromMilliseconds(rows.Int(0, 5));
  record.end_time = ReadTime(rows, 0, 6);
  record.studies = static_cast<std::uint64_t>(rows.Int(0, 7));
  if (!rows.IsNull(0, 8)) record.ending = static_cast<wire::SessionState>(rows.Int(0, 8));
  record.worked = std::chrono::milliseconds(rows.Int(0, 9));
  record.run_start = ReadTime(rows, 0, 10);
  record.counts = ReadCounts(rows, 0, 11);
  store.growths().AddTo(record);
  const auto ignored =
      store.db().Query("SELECT reason, sum(files)::bigint FROM ignored WHERE session = $1::bigint GROUP BY reason",
                       Values().Int(record.key));
  for (int row = 0; row < ignored.size(); ++row) {
    record.ignored[ignored.Text(row, 0)] = static_cast<std::uint64_t>(ignored.Int(row, 1));
  }
  return record;
}

}  // namespace

SessionRecord CreateSession(Store& store, const wire::OpenSession& settings, WallTime now) {
  const auto created = store.db().Query(
      "INSERT INTO session (uuid, settings, state, start_ms, run_start_ms) VALUES ($1::text, '', $2::bigint,"
      " $3::bigint, $3::bigint) RETURNING key",
      Values().Text(settings.session()).Int(wire::SESSION_SCANNING).Int(Milliseconds(now)));
  SetSettings(store, created.Int(0, 0), settings);
  return LoadSession(store, created.Int(0, 0));
}

std::optional<SessionRecord> FindSession(Store& store, std::string_view uuid) {
  static const std::string sql = SessionSelect() + "WHERE uuid = $1::text";
  const auto rows = store.db().Query(sql, Values().Text(uuid));
  if (rows.size() == 0) return std::nullopt;
  return ReadSession(store, rows);
}

SessionRecord LoadSession(Store& store, SessionKey session) {
  static const std::string sql = SessionSelect() + "WHERE key = $1::bigint";
  const auto rows = store.db().Query(sql, Values().Int(session));
  if (rows.size() == 0)
    throw LedgerError(fmt::format("ledger '{}': session {} does not exist", store.name(), session));
  return ReadSession(store, rows);
}

std::vector<SessionKey> Sessions(Store& store) {
  const auto rows = store.db().Query("SELECT key FROM session ORDER BY key");
  return FirstColumn(rows);
}

void SetSettings(Store& store, SessionKey session, const wire::OpenSession& settings) {
  // The settings that the views show have their own columns.
  const auto& destination = settings.destination();
  store.db().Send(
      "UPDATE session SET settings = $1::bytea, called_ae = $2::text, calling_ae = $3::text, host = $4::text,"
      " port = $5::bigint WHERE key = $6::bigint",
      Values()
          .Bytes(settings.SerializeAsString())
          .Text(destination.called_ae())
          .Text(destination.calling_ae())
          .Text(destination.host())
          .Int(std::int64_t{destination.port()})
          .Int(session));
}

bool BeginScan(Store& store, SessionKey session, std::string_view indexer, std::uint64_t& scan) {
  const auto known =
      store.db().Query("SELECT number FROM scan WHERE session = $1::bigint AND sha256(indexer) = sha256($2::bytea)",
                       Values().Int(session).Bytes(indexer));
  if (known.size() > 0 && scan <= static_cast<std::uint64_t>(known.Int(0, 0))) {
    scan = static_cast<std::uint64_t>(known.Int(0, 0));
    return false;
  }
  store.db().Send(
      "INSERT INTO scan (session, indexer, number, complete) VALUES ($1::bigint, $2::bytea, $3::bigint, 0)"
      " ON CONFLICT (session, sha256(indexer)) DO UPDATE SET number = excluded.number, complete = 0",
      Values().Int(session).Bytes(indexer).Int(static_cast<std::int64_t>(scan)));
  for (const char* table : {"ignored", "unread"}) {
    store.db().Send(
        fmt::format("DELETE FROM {} WHERE session = $1::bigint AND sha256(indexer) = sha256($2::bytea)", table),
        Values().Int(session).Bytes(indexer));
  }
  store.db().Send("UPDATE session SET scan_complete = 0 WHERE key = $1::bigint", Values().Int(session));
  return true;
}

void CompleteScan(Store& store, SessionKey session, std::string_view indexer, std::uint64_t scan,
                  const std::map<std::string, std::uint64_t>& ignored) {
  const auto completed = store.db().Query(
      "UPDATE scan SET complete = 1 WHERE session = $1::bigint AND sha256(indexer) = sha256($2::bytea)"
      " AND number = $3::bigint AND complete = 0",
      Values().Int(session).Bytes(indexer).Int(static_cast<std::int64_t>(scan)));
  if (completed.affected() == 0) return;
  std::vector<std::string> reasons;
  std::vector<std::int64_t> files;
  for (const auto& [reason, count] : ignored) {
    reasons.push_back(EncodedText(reason));
    files.push_back(static_cast<std::int64_t>(count));
  }
  store.db().Send(
      "INSERT INTO ignored (session, indexer, reason, files) SELECT $1::bigint, $2::bytea, reason, files"
      " FROM unnest($3::text[], $4::bigint[]) AS i(reason, files)",
      Values().Int(session).Bytes(indexer).Texts(reasons).Ints(files));
  store.db().Send(
      "UPDATE session SET scan_complete ="
      " CASE WHEN EXISTS (SELECT FROM scan WHERE session = $1::bigint AND complete = 0) THEN 0 ELSE 1 END"
      " WHERE key = $1::bigint",
      Values().Int(session));
}

void AddUnread(Store& store, SessionKey session, std::string_view indexer, std::span<const UnreadPath> paths) {
  for (const UnreadPath& unread : paths) {
    store.db().Send(
        "INSERT INTO unread (session, path, indexer, folder, reason)"
        " VALUES ($1::bigint, $2::bytea, $3::bytea, $4::bigint, $5::text)"
        " ON CONFLICT (session, sha256(path), sha256(indexer)) DO UPDATE SET folder = excluded.folder,"
        " reason = excluded.reason",
        Values().Int(session).Bytes(unread.path).Bytes(indexer).Int(unread.is_folder ? 1 : 0).Text(unread.reason));
  }
}

std::vector<UnreadPath> Unread(Store& store, SessionKey session, std::string_view after, std::size_t limit) {
  const auto rows = store.db().Query(
      "SELECT DISTINCT ON (path) path, folder, reason FROM unread WHERE session = $1::bigint AND path > $2::bytea"
      " ORDER BY path LIMIT $3::bigint",
      Values().Int(session).Bytes(after).Int(static_cast<std::int64_t>(limit)));
  std::vector<UnreadPath> paths;
  paths.reserve(static_cast<std::size_t>(rows.size()));
  for (int row = 0; row < rows.size(); ++row) {
    paths.push_back(
        {.path = std::string(rows.Bytes(row, 0)), .is_folder = rows.Int(row, 1) != 0, .reason = rows.Text(row, 2)});
  }
  return paths;
}

std::vector<ScanRecord> Scans(Store& store, SessionKey session) {
  const auto rows = store.db().Query("SELECT indexer, complete FROM scan WHERE session = $1::bigint ORDER BY indexer",
                                     Values().Int(session));
  std::vector<ScanRecord> scans;
  scans.reserve(static_cast<std::size_t>(rows.size()));
  for (int row = 0; row < rows.size(); ++row)
    scans.push_back({std::string(rows.Bytes(row, 0)), rows.Int(row, 1) != 0});
  return scans;
}

void SetSessionState(Store& store, SessionKey session, wire::SessionState state, std::string_view end_reason,
                     WallTime now) {
  if (IsRunning(state)) {
    store.db().Send(
        "UPDATE session SET state = $1::bigint, end_reason = '', end_ms = NULL,"
        " run_start_ms = coalesce(run_start_ms, $3::bigint) WHERE key = $2::bigint",
        Values().Int(state).Int(session).Int(Milliseconds(now)));
  } else {
    store.db().Send(
        "UPDATE session SET state = $1::bigint, end_reason = $2::text, end_ms = $3::bigint, ending = NULL,"
        " worked_ms = worked_ms + greatest($3::bigint - coalesce(run_start_ms, $3::bigint), 0), run_start_ms = NULL"
        " WHERE key = $4::bigint",
        Values().Int(state).Text(end_reason).Int(Milliseconds(now)).Int(session));
  }
}

void BeginRun(Store& store, SessionKey session, WallTime now) {
  store.db().Send(
      "UPDATE session SET worked_ms = worked_ms + greatest(0, coalesce((SELECT max(last_outcome_ms) FROM study"
      " WHERE session = $1::bigint), 0) - coalesce(run_start_ms, $2::bigint)), run_start_ms = $2::bigint"
      " WHERE key = $1::bigint",
      Values().Int(session).Int(Milliseconds(now)));
}

void SetEnding(Store& store, SessionKey session, std::optional<wire::SessionState> state) {
  if (state) {
    store.db().Send("UPDATE session SET ending = $1::bigint WHERE key = $2::bigint",
                    Values().Int(*state).Int(session));
  } else {
    store.db().Send("UPDATE session SET ending = NULL WHERE key = $1::bigint", Values().Int(session));
  }
}

}  // namespace dicom_sender::postgresql
