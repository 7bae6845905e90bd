#include "coordinator/ledger/sqlite/schema.h"

#include <map>

#include "coordinator/ledger/counts.h"
#include "coordinator/ledger/ledger.h"
#include "coordinator/ledger/sqlite/sessions.h"

namespace dicom_sender::sqlite {
namespace {

// Migrations use the state numbers of their time, which need not be those of the enum today.

std::string CountDefinitions() {
  return ForEachCount([](const std::string& name) { return name + " INTEGER NOT NULL DEFAULT 0"; });
}

constexpr const char* kLeasedIndex = "CREATE INDEX study_leased ON study (session, key) WHERE lease > 0;";

// Schema 2 added these tables.
std::string ScanSchema() {
  return "CREATE TABLE scan (session INTEGER NOT NULL, indexer BLOB NOT NULL, number INTEGER NOT NULL,"
         " complete INTEGER NOT NULL, PRIMARY KEY (session, indexer)) WITHOUT ROWID;"
         "CREATE TABLE ignored (session INTEGER NOT NULL, indexer BLOB NOT NULL, reason TEXT NOT NULL,"
         " files INTEGER NOT NULL, PRIMARY KEY (session, indexer, reason)) WITHOUT ROWID;"
         "CREATE TABLE session_worker (session INTEGER NOT NULL, worker TEXT NOT NULL, threads INTEGER NOT NULL,"
         " PRIMARY KEY (session, worker)) WITHOUT ROWID;";
}

std::string MigrationFrom1To2() {
  return std::string("ALTER TABLE session ADD COLUMN ending INTEGER; DROP INDEX study_leased;") + kLeasedIndex +
         "ALTER TABLE ignored RENAME TO ignored_1;" + ScanSchema() +
         "INSERT INTO ignored SELECT session, x'', reason, files FROM ignored_1;"
         "DROP TABLE ignored_1;"
         "INSERT INTO scan SELECT key, x'', 0, 1 FROM session WHERE scan_complete;"
         // Schema 1 did not record how many associations a worker offered.
         "INSERT INTO session_worker SELECT DISTINCT s.session, l.worker, 1"
         " FROM lease l JOIN study s ON s.key = l.study;";
}

// Instances that were settled before have no outcome time. MigrateFrom2To3() fills in the destinations.
constexpr const char* kMigrationFrom2To3 =
    "ALTER TABLE session ADD COLUMN called_ae TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE session ADD COLUMN calling_ae TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE session ADD COLUMN host TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE session ADD COLUMN port INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE study ADD COLUMN accession_number TEXT;"
    "ALTER TABLE instance ADD COLUMN outcome_ms INTEGER;";

// Schema 5 added these tables. `conflict` is NULL until a copy has been compared with its original. `promoted` marks
// a copy that is or was sent in place of a failed file.
constexpr const char* kCopyTables =
    "CREATE TABLE copy (study INTEGER NOT NULL, idx INTEGER NOT NULL, session INTEGER NOT NULL,"
    " original_study INTEGER NOT NULL, original_idx INTEGER NOT NULL, indexer INTEGER NOT NULL,"
    " conflict INTEGER, promoted INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (study, idx)) WITHOUT ROWID;"
    "CREATE INDEX copy_by_original ON copy (original_study, original_idx, promoted, study, idx);"
    "CREATE INDEX copy_uncompared ON copy (session, study, idx) WHERE conflict IS NULL;"
    "CREATE TABLE unread (session INTEGER NOT NULL, path BLOB NOT NULL, indexer BLOB NOT NULL,"
    " folder INTEGER NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (session, path, indexer)) WITHOUT ROWID;";

// The active time of a session: `worked_ms` until the last pause, plus the time since `run_start_ms`, which is NULL
// during a pause.
constexpr const char* kRunColumns = ", worked_ms INTEGER NOT NULL DEFAULT 0, run_start_ms INTEGER";

// Before schema 5, conflicts were in state 5, too.
std::string MigrationFrom4To5() {
  return std::string(kCopyTables) +
         "ALTER TABLE session ADD COLUMN worked_ms INTEGER NOT NULL DEFAULT 0;"
         "ALTER TABLE session ADD COLUMN run_start_ms INTEGER;"
         "UPDATE session SET worked_ms = max(coalesce(end_ms, start_ms) - start_ms, 0);"
         "UPDATE session SET run_start_ms = start_ms WHERE end_ms IS NULL;"
         "UPDATE instance SET state = 7 WHERE state = 5 AND study IN (SELECT key FROM study WHERE conflicts > 0)"
         " AND reason LIKE 'same SOP Instance UID but another size: conflict of %';";
}

constexpr const char* kWorkerTable = "CREATE TABLE worker (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);";

// Before schema 4, instances that a session left unsent were in state 6 and counted as failed. They are pending now.
std::string MigrationFrom3To4() {
  return std::string(
             "UPDATE session SET failed = failed - abandoned,"
             " settled_bytes = settled_bytes - (SELECT coalesce(sum(i.size),"
             " 0) FROM study t CROSS JOIN instance i ON i.study = t.key   WHERE t.session = session.key AND"
             " t.abandoned > 0 AND i.state = 6) WHERE abandoned > 0;"
             "UPDATE study SET failed = failed - abandoned,"
             " settled_bytes = settled_bytes - (SELECT coalesce(sum(i.size),"
             " 0) FROM instance i WHERE i.study = study.key AND i.state = 6) WHERE abandoned > 0;"
             "UPDATE instance SET state = 0,"
             " reason = NULL WHERE study IN (SELECT key FROM study WHERE abandoned > 0) AND state = 6;"
             "ALTER TABLE session DROP COLUMN abandoned;"
             "ALTER TABLE study DROP COLUMN abandoned;"
             "ALTER TABLE instance ADD COLUMN reported_by INTEGER;"
             "ALTER TABLE lease ADD COLUMN identity TEXT NOT NULL DEFAULT '';") +
         kWorkerTable;
}

// Fills in the destinations from the settings. Returns false if the settings cannot be parsed.
bool MigrateFrom2To3(Connection& connection) {
  SQLite::Database& db = connection.database();
  db.exec(kMigrationFrom2To3);
  std::map<SessionKey, wire::OpenSession> sessions;
  SQLite::Statement rows(db, "SELECT key, settings FROM session");
  while (rows.executeStep()) {
    wire::OpenSession& settings = sessions[rows.getColumn(0).getInt64()];
    if (!settings.ParseFromArray(rows.getColumn(1).getBlob(), rows.getColumn(1).getBytes())) return false;
  }
  for (const auto& [key, settings] : sessions) WriteSettings(connection, key, settings);
  return true;
}

}  // namespace

std::string Schema() {
  const std::string counts = CountDefinitions();
  return "CREATE TABLE session (key INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE,"
         " settings BLOB NOT NULL, state INTEGER NOT NULL, end_reason TEXT NOT NULL DEFAULT '',"
         " scan_complete INTEGER NOT NULL DEFAULT 0, start_ms INTEGER NOT NULL, end_ms INTEGER,"
         " studies INTEGER NOT NULL DEFAULT 0, " +
         counts +
         ", ending INTEGER, called_ae TEXT NOT NULL DEFAULT '', calling_ae TEXT NOT NULL DEFAULT '',"
         " host TEXT NOT NULL DEFAULT '', port INTEGER NOT NULL DEFAULT 0" +
         kRunColumns + ");" + ScanSchema() + kCopyTables +
         "CREATE TABLE root (id INTEGER PRIMARY KEY, session INTEGER NOT NULL, path BLOB NOT NULL,"
         " UNIQUE (session, path));"
         "CREATE TABLE pair (id INTEGER PRIMARY KEY, sop_class TEXT NOT NULL, transfer_syntax TEXT NOT NULL,"
         " UNIQUE (sop_class, transfer_syntax));"
         "CREATE TABLE study (key INTEGER PRIMARY KEY AUTOINCREMENT, session INTEGER NOT NULL,"
         " uid TEXT NOT NULL, lease INTEGER NOT NULL DEFAULT 0, page_end INTEGER NOT NULL DEFAULT 0,"
         " suspect_end INTEGER NOT NULL DEFAULT 0, first_lease_ms INTEGER, last_outcome_ms INTEGER, " +
         counts + ", accession_number TEXT, UNIQUE (session, uid));" + kLeasedIndex +
         "CREATE INDEX study_by_session ON study (session, key);"
         "CREATE TABLE study_pair (study INTEGER NOT NULL, pair INTEGER NOT NULL, PRIMARY KEY (study, pair))"
         " WITHOUT ROWID;"
         "CREATE TABLE lease (id INTEGER PRIMARY KEY, study INTEGER NOT NULL, worker TEXT NOT NULL,"
         " last_report_seq INTEGER NOT NULL DEFAULT 0, associations INTEGER NOT NULL DEFAULT 0,"
         " identity TEXT NOT NULL DEFAULT '');"
         "CREATE TABLE instance (study INTEGER NOT NULL, idx INTEGER NOT NULL, root INTEGER NOT NULL,"
         " path BLOB NOT NULL, pair INTEGER NOT NULL, sop_instance TEXT NOT NULL, size INTEGER NOT NULL,"
         " mtime INTEGER NOT NULL, data_offset INTEGER NOT NULL, state INTEGER NOT NULL,"
         " attempts INTEGER NOT NULL DEFAULT 0, status INTEGER, reason TEXT,"
         " duration_us INTEGER NOT NULL DEFAULT 0, may_be_stored INTEGER NOT NULL DEFAULT 0,"
         " defect INTEGER NOT NULL DEFAULT 0, outcome_ms INTEGER, reported_by INTEGER,"
         " PRIMARY KEY (study, idx)) WITHOUT ROWID;" +
         kWorkerTable +
         "CREATE TABLE known (session INTEGER NOT NULL, hash INTEGER NOT NULL, study INTEGER NOT NULL,"
         " idx INTEGER NOT NULL, PRIMARY KEY (session, hash, study, idx)) WITHOUT ROWID;";
}

bool Migrate(Connection& connection, int version) {
  SQLite::Database& db = connection.database();
  if (version < 2) db.exec(MigrationFrom1To2());
  if (version < 3 && !MigrateFrom2To3(connection)) return false;
  if (version < 4) db.exec(MigrationFrom3To4());
  db.exec(MigrationFrom4To5());
  return true;
}

}  // namespace dicom_sender::sqlite
