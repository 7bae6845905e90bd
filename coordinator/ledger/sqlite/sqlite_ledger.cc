#include "coordinator/ledger/sqlite/sqlite_ledger.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "common/text.h"
#include "coordinator/ledger/counts.h"
#include "coordinator/ledger/sqlite/ledger_lock.h"
#include "coordinator/ledger/views/views.h"

namespace dicom_sender {
namespace {

constexpr int kApplicationId = 0x44534C47;  // "DSLG"
constexpr int kSchemaVersion = 5;
constexpr std::int64_t kStudiesPerRead = 1000;
constexpr int kCacheKibibytes = 16 << 10;
constexpr int kPagesPerCheckpoint = 8192;  // of 4 KiB: a page that changes often is written to its place less often
constexpr int kLogPagesMax = 32768;        // 128 MiB; from then on the writer waits for readers for a moment
constexpr int kLogBytesKept = 64 << 20;    // of the log beside the file when it is started over
constexpr int kReaderWaitMs = 200;
constexpr std::chrono::seconds kWaitForReadersEvery(10);
constexpr int kOtherWriterWaitMs = 5000;  // for a person who writes into the ledger with SQLite
constexpr std::uintmax_t kCheckedBytesMax = 256 << 20;
constexpr std::size_t kCachedStatementsMax = 200;  // some are made for one study or status

std::string CountDefinitions() {
  return ForEachCount([](const std::string& name) { return name + " INTEGER NOT NULL DEFAULT 0"; });
}
std::string CountAdditions() {
  return ForEachCount([](const std::string& name) { return name + " = " + name + " + ?"; });
}

constexpr const char* kLeasedIndex = "CREATE INDEX study_leased ON study (session, key) WHERE lease > 0;";

// What schema 2 added to 1.
std::string ScanSchema() {
  return "CREATE TABLE scan (session INTEGER NOT NULL, indexer BLOB NOT NULL, number INTEGER NOT NULL, complete "
         "INTEGER"
         " NOT NULL, PRIMARY KEY (session, indexer)) WITHOUT ROWID;"
         "CREATE TABLE ignored (session INTEGER NOT NULL, indexer BLOB NOT NULL, reason TEXT NOT NULL, files INTEGER "
         "NOT"
         " NULL, PRIMARY KEY (session, indexer, reason)) WITHOUT ROWID;"
         "CREATE TABLE session_worker (session INTEGER NOT NULL, worker TEXT NOT NULL, threads INTEGER NOT NULL,"
         " PRIMARY KEY (session, worker)) WITHOUT ROWID;";
}

std::string MigrationFrom1To2() {
  return std::string("ALTER TABLE session ADD COLUMN ending INTEGER; DROP INDEX study_leased;") + kLeasedIndex +
         "ALTER TABLE ignored RENAME TO ignored_1;" + ScanSchema() +
         "INSERT INTO ignored SELECT session, x'', reason, files FROM ignored_1;"
         "DROP TABLE ignored_1;"
         "INSERT INTO scan SELECT key, x'', 0, 1 FROM session WHERE scan_complete;"
         // How many associations they offered was not kept.
         "INSERT INTO session_worker SELECT DISTINCT s.session, l.worker, 1 FROM lease l JOIN study s ON s.key = "
         "l.study;";
}

// What was settled before has no outcome time. The destinations are filled in from the settings.
constexpr const char* kMigrationFrom2To3 =
    "ALTER TABLE session ADD COLUMN called_ae TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE session ADD COLUMN calling_ae TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE session ADD COLUMN host TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE session ADD COLUMN port INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE study ADD COLUMN accession_number TEXT;"
    "ALTER TABLE instance ADD COLUMN outcome_ms INTEGER;";

// What schema 5 added. A copy is compared with its original, and `conflict` is NULL until then; `promoted` says that
// it is sent, or was, in the place of one that had failed.
constexpr const char* kCopyTables =
    "CREATE TABLE copy (study INTEGER NOT NULL, idx INTEGER NOT NULL, session INTEGER NOT NULL, original_study "
    "INTEGER"
    " NOT NULL, original_idx INTEGER NOT NULL, indexer INTEGER NOT NULL, conflict INTEGER, promoted INTEGER NOT NULL"
    " DEFAULT 0, PRIMARY KEY (study, idx)) WITHOUT ROWID;"
    "CREATE INDEX copy_by_original ON copy (original_study, original_idx, promoted, study, idx);"
    "CREATE INDEX copy_uncompared ON copy (session, study, idx) WHERE conflict IS NULL;"
    "CREATE TABLE unread (session INTEGER NOT NULL, path BLOB NOT NULL, indexer BLOB NOT NULL, folder INTEGER NOT "
    "NULL,"
    " reason TEXT NOT NULL, PRIMARY KEY (session, path, indexer)) WITHOUT ROWID;";

// How long a session has been worked on: `worked_ms` up to the last pause, and since `run_start_ms`, which is NULL in
// a pause.
constexpr const char* kRunColumns = ", worked_ms INTEGER NOT NULL DEFAULT 0, run_start_ms INTEGER";

// Conflicts were in state 5, too.
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

// Instances that a session had left behind were in a state of their own, 6, and counted as failed. They are pending.
std::string MigrationFrom3To4() {
  return std::string(
             "UPDATE session SET failed = failed - abandoned, settled_bytes = settled_bytes -"
             " (SELECT coalesce(sum(i.size), 0) FROM study t CROSS JOIN instance i ON i.study = t.key"
             "   WHERE t.session = session.key AND t.abandoned > 0 AND i.state = 6) WHERE abandoned > 0;"
             "UPDATE study SET failed = failed - abandoned, settled_bytes = settled_bytes -"
             " (SELECT coalesce(sum(i.size), 0) FROM instance i WHERE i.study = study.key AND i.state = 6)"
             " WHERE abandoned > 0;"
             "UPDATE instance SET state = 0, reason = NULL"
             " WHERE study IN (SELECT key FROM study WHERE abandoned > 0) AND state = 6;"
             "ALTER TABLE session DROP COLUMN abandoned;"
             "ALTER TABLE study DROP COLUMN abandoned;"
             "ALTER TABLE instance ADD COLUMN reported_by INTEGER;"
             "ALTER TABLE lease ADD COLUMN identity TEXT NOT NULL DEFAULT '';") +
         kWorkerTable;
}

std::string Schema() {
  const std::string counts = CountDefinitions();
  return "CREATE TABLE session (key INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE, settings BLOB NOT "
         "NULL,"
         " state INTEGER NOT NULL, end_reason TEXT NOT NULL DEFAULT '', scan_complete INTEGER NOT NULL DEFAULT 0,"
         " start_ms INTEGER NOT NULL, end_ms INTEGER, studies INTEGER NOT NULL DEFAULT 0, " +
         counts +
         ", ending INTEGER, called_ae TEXT NOT NULL DEFAULT '', calling_ae TEXT NOT NULL DEFAULT '', host TEXT NOT "
         "NULL DEFAULT '', port INTEGER NOT NULL DEFAULT 0" +
         kRunColumns + ");" + ScanSchema() + kCopyTables +
         "CREATE TABLE root (id INTEGER PRIMARY KEY, session INTEGER NOT NULL, path BLOB NOT NULL, UNIQUE (session, "
         "path));"
         "CREATE TABLE pair (id INTEGER PRIMARY KEY, sop_class TEXT NOT NULL, transfer_syntax TEXT NOT NULL,"
         " UNIQUE (sop_class, transfer_syntax));"
         "CREATE TABLE study (key INTEGER PRIMARY KEY AUTOINCREMENT, session INTEGER NOT NULL, uid TEXT NOT NULL,"
         " lease INTEGER NOT NULL DEFAULT 0, page_end INTEGER NOT NULL DEFAULT 0, suspect_end INTEGER NOT NULL "
         "DEFAULT 0,"
         " first_lease_ms INTEGER, last_outcome_ms INTEGER, " +
         counts + ", accession_number TEXT, UNIQUE (session, uid));" + kLeasedIndex +
         "CREATE INDEX study_by_session ON study (session, key);"
         "CREATE TABLE study_pair (study INTEGER NOT NULL, pair INTEGER NOT NULL, PRIMARY KEY (study, pair)) WITHOUT "
         "ROWID;"
         "CREATE TABLE lease (id INTEGER PRIMARY KEY, study INTEGER NOT NULL, worker TEXT NOT NULL,"
         " last_report_seq INTEGER NOT NULL DEFAULT 0, associations INTEGER NOT NULL DEFAULT 0, identity TEXT NOT "
         "NULL DEFAULT '');"
         "CREATE TABLE instance (study INTEGER NOT NULL, idx INTEGER NOT NULL, root INTEGER NOT NULL, path BLOB NOT "
         "NULL,"
         " pair INTEGER NOT NULL, sop_instance TEXT NOT NULL, size INTEGER NOT NULL, mtime INTEGER NOT NULL,"
         " data_offset INTEGER NOT NULL, state INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, status INTEGER,"
         " reason TEXT, duration_us INTEGER NOT NULL DEFAULT 0, may_be_stored INTEGER NOT NULL DEFAULT 0, defect "
         "INTEGER NOT NULL DEFAULT 0, outcome_ms INTEGER, reported_by INTEGER,"
         " PRIMARY KEY (study, idx)) WITHOUT ROWID;" +
         kWorkerTable +
         "CREATE TABLE known (session INTEGER NOT NULL, hash INTEGER NOT NULL, study INTEGER NOT NULL, idx INTEGER "
         "NOT NULL,"
         " PRIMARY KEY (session, hash, study, idx)) WITHOUT ROWID;";
}

struct Blob {
  const std::string& bytes;
};

struct TextHash {  // a statement is found by a literal without a copy of it
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

// What the operating system said when SQLite says no more than "disk I/O error"; 0: nothing. sqlite3_system_errno
// does not know it after a failed statement.
int LastOsError(sqlite3* db) {
  int error = 0;
  sqlite3_file_control(db, "main", SQLITE_FCNTL_LAST_ERRNO, &error);
  sqlite3_file* log = nullptr;
  sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
  if (error == 0 && log != nullptr && log->pMethods != nullptr) {
    log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &error);
  }
  return error;
}

constexpr const char* kDamaged = "it is damaged; put a sound copy in its place, or take it away and begin anew";

constexpr const char* kInUse = "another process has it open";

// What a failure of the store means and what helps against it.
std::string Explain(const SQLite::Exception& error, sqlite3* db) {
  switch (error.getErrorCode()) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return "another program writes to it; end that program, and look at the ledger with 'sqlite3 -readonly' only";
    case SQLITE_NOTADB:
      return "it is damaged or no ledger of dicom-sender; name another file, or put a sound copy in its place";
    case SQLITE_CORRUPT:
      return kDamaged;
    case SQLITE_FULL:
      return "the disk is full; free some space and start again";
    case SQLITE_IOERR: {
      const int os_error = LastOsError(db);
      const std::string detail = os_error != 0 ? fmt::format(" ({})", std::strerror(os_error)) : std::string();
      return fmt::format("{}{}; see to the disk and start again", error.what(), detail);
    }
    default:
      return error.what();
  }
}

// SQLite only says that it could not open something. It needs the folder, too, for the log beside the ledger.
std::string WhyNotOpened(const std::filesystem::path& file) {
  std::error_code ignored;
  const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : ".";
  if (std::filesystem::is_directory(file, ignored)) return "it is a folder; name a file";
  const auto denied = [](const char* what, const std::filesystem::path& path, int rights) {
    if (::euidaccess(path.c_str(), rights) == 0) return std::string();
    return fmt::format("{} ({}); see to it and start again", what, std::strerror(errno));
  };
  std::string reason = denied("its folder may not be written", folder, W_OK | X_OK);
  const bool readable = ::euidaccess(file.c_str(), R_OK) == 0, writable = ::euidaccess(file.c_str(), W_OK) == 0;
  if (reason.empty() && readable && !writable) return "it may not be written; let this user write it";
  if (reason.empty()) reason = denied("it may not be read and written", file, R_OK | W_OK);
  return reason.empty() ? "it cannot be opened" : reason;
}

std::string WhyNotLocked(const std::string& file, int error) {
  if (error == EAGAIN) return kInUse;
  if (error == ENOLCK || error == EINVAL || error == EOPNOTSUPP) {
    return fmt::format("its file system has no locks ({}); use a local disk", std::strerror(error));
  }
  return WhyNotOpened(file);
}

class SqliteLedger : public Ledger {
 public:
  SqliteLedger(const std::string& file, LedgerLock lock)
      : file_(file),
        lock_(std::move(lock)),
        db_(file, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE | SQLite::OPEN_NOMUTEX) {}

  // Before anything else. The error says what is wrong and what to do; then the file is as it was.
  tl::expected<void, std::string> Prepare();

  void Begin() override;
  void Commit() override;

  SessionRecord CreateSession(const wire::OpenSession& settings, WallTime now) override;
  std::optional<SessionRecord> FindSession(std::string_view uuid) override;
  SessionRecord LoadSession(SessionKey session) override;
  std::vector<SessionKey> Sessions() override;
  void SetSettings(SessionKey session, const wire::OpenSession& settings) override;
  bool BeginScan(SessionKey session, std::string_view indexer, std::uint64_t& scan) override;
  void CompleteScan(SessionKey session, std::string_view indexer, std::uint64_t scan,
                    const std::map<std::string, std::uint64_t>& ignored) override;
  void AddUnread(SessionKey session, std::string_view indexer, std::span<const UnreadPath> paths) override;
  std::vector<UnreadPath> Unread(SessionKey session, std::string_view after, std::size_t limit) override;
  std::vector<ScanRecord> Scans(SessionKey session) override;
  void SetSessionState(SessionKey session, wire::SessionState state, std::string_view end_reason,
                       WallTime now) override;
  void BeginRun(SessionKey session, WallTime now) override;
  void SetEnding(SessionKey session, std::optional<wire::SessionState> state) override;
  std::vector<StudyFeed> Requeue(SessionKey session, const RequeueFilter& filter) override;

  std::vector<StudyFeed> AddStudies(SessionKey session, const wire::PublishBatch& batch) override;
  std::vector<UncomparedCopy> CopiesToCompare(SessionKey session, std::string_view indexer,
                                              const InstanceCursor& after, std::size_t limit) override;
  void RecordComparisons(SessionKey session, std::span<const Comparison> comparisons) override;
  std::vector<PromotedCopy> PromoteCopies(StudyKey study) override;

  StudyRecord LoadStudy(StudyKey study) override;
  std::vector<StudyRecord> Studies(SessionKey session, StudyKey after, std::size_t limit) override;
  std::vector<StudyFeed> UnsettledStudies(SessionKey session, StudyKey after, std::size_t limit) override;
  LeaseId LastLeaseId() override;
  std::optional<LeaseRecord> FindLease(LeaseId lease) override;
  void GrantLease(StudyKey study, LeaseId lease, std::string_view worker, std::string_view identity,
                  std::uint32_t worker_capacity, WallTime now) override;
  std::uint64_t EndLease(StudyKey study, bool clean) override;
  std::vector<StudyRecord> LeasedStudies(SessionKey session) override;
  void RecordReport(const LeaseRecord& lease, std::uint64_t seq, std::uint32_t associations) override;
  std::vector<wire::ContextPair> ContextPairs(StudyKey study, std::size_t limit) override;

  wire::Page LoadPage(StudyKey study, LeaseId lease, std::uint32_t from_index, std::size_t limit) override;
  void SetPageEnd(StudyKey study, std::uint32_t page_end) override;
  std::vector<InstanceFacts> LoadInstances(StudyKey study, std::span<const std::uint32_t> indices) override;
  void ChangeInstances(std::span<const InstanceChange> changes, WallTime now) override;
  std::uint64_t FailStudy(StudyKey study, std::string_view reason, WallTime now) override;
  std::vector<ReportedInstance> Report(SessionKey session, std::span<const InstanceState> states,
                                       const InstanceCursor& after, std::size_t limit) override;
  FailureReasons CountFailureReasons(SessionKey session, std::size_t limit) override;
  WorkerCount Workers(SessionKey session) override;
  std::vector<PairCount> PairCounts(SessionKey session) override;

 private:
  struct Root {
    std::int64_t id = 0;
    std::string path;
  };
  struct Known {
    bool same_file = false;
    bool same_uid = false;
    std::optional<Original> original;  // the first file with this SOP Instance UID
  };
  // The conditions of a RequeueFilter for the instances of a study.
  struct RequeueChoice {
    std::optional<std::int64_t> status;
    std::optional<std::int64_t> worker;  // its id
    std::optional<std::string> reason;
  };
  // An instance that has failed, and the first file with its SOP Instance UID: itself, or what it was sent in place
  // of.
  struct FailedOriginal {
    std::uint32_t index = 0;
    StudyKey first_study = 0;
    std::uint32_t first_index = 0;
    bool differs = false;  // from the first one
  };
  // One study of a batch while it is taken in.
  struct Intake {
    StudyFeed feed;
    std::uint64_t next_index = 0;
    std::int64_t last_pair = 0;
    bool has_accession_number = false;
    Counts delta;
  };

  template <class... Args>
  SQLite::Statement& Query(std::string_view sql, const Args&... args);
  template <class... Args>
  void Execute(std::string_view sql, const Args&... args);
  void BindAt(SQLite::Statement& statement, int at, const Blob& blob) {
    statement.bind(at, blob.bytes.data(), static_cast<int>(blob.bytes.size()));
  }
  void BindAt(SQLite::Statement& statement, int at, const std::string& text) { statement.bind(at, text); }
  void BindAt(SQLite::Statement& statement, int at, std::string_view text) { statement.bind(at, std::string(text)); }
  void BindAt(SQLite::Statement& statement, int at, const char* text) { statement.bind(at, text); }
  void BindAt(SQLite::Statement& statement, int at, std::int64_t value) { statement.bind(at, value); }
  template <class Value>
  void BindAt(SQLite::Statement& statement, int at, const std::optional<Value>& value) {
    value ? BindAt(statement, at, *value) : statement.bind(at);
  }

  tl::expected<void, std::string> CheckAndUpgrade();
  static int OnCommit(void* ledger, sqlite3* db, const char* name, int pages);
  bool IsWhole();
  bool Migrate(int version);
  bool MigrateFrom2To3();
  void WriteSettings(SessionKey session, const wire::OpenSession& settings);
  void KeepLogOnClose(bool keep) {
    sqlite3_db_config(db_.getHandle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int{keep}, nullptr);
  }

  // Turns every failure of the store into a LedgerError, after which nothing works any more.
  template <class Work>
  auto Guarded(Work work) -> decltype(work());

  SessionRecord ReadSession(SQLite::Statement& row);
  StudyRecord ReadStudy(SQLite::Statement& row);
  std::vector<StudyRecord> ReadStudies(SQLite::Statement& rows);
  Counts ReadCounts(SQLite::Statement& row, int from_column);
  int BindCounts(SQLite::Statement& statement, const Counts& delta);
  void AddToStudy(StudyKey study, const Counts& delta, std::optional<WallTime> outcome_time);
  void AddToSession(SessionKey session, const Counts& delta, std::uint64_t studies = 0);
  void WriteSessionGrowth();
  std::vector<StudyKey> FailedStudies(SessionKey session, const std::optional<std::string>& uid, StudyKey after);
  StudyFeed RequeueStudy(StudyKey study, const RequeueChoice& choice);
  std::optional<std::int64_t> FindWorkerId(const std::string& name);
  std::optional<std::int64_t> ReporterId(const std::string& name);

  std::uint64_t CountUnreportedResends(StudyKey study);
  void WriteInstance(const InstanceChange& change, WallTime now);

  wire::ContextPair LoadPair(std::int64_t id);
  std::string RootPath(std::int64_t id);
  Root LoadRoot(SessionKey session, const std::string& path);
  std::int64_t PairId(const wire::Instance& instance);
  Intake BeginIntake(SessionKey session, const std::string& uid);
  SessionKey SessionOf(StudyKey study);
  void Look(SessionKey session, std::int64_t hash, const Root& root, const wire::Instance& instance, Known& known);
  void AddIfNew(SessionKey session, const std::string& indexer, const Root& root, const wire::Instance& instance,
                Intake& study);
  void NoteCopy(SessionKey session, const std::string& indexer, const Intake& study, const Original& original);
  void RecordComparison(SessionKey session, const Comparison& comparison);
  std::vector<FailedOriginal> FailedOriginals(StudyKey study);
  std::optional<PromotedCopy> Promote(StudyKey study, const FailedOriginal& failed);
  InstanceState AddInstance(const Root& root, const wire::Instance& instance, const Known& known, Intake& study);

  std::string file_;
  const LedgerLock lock_;  // outlives the connection, see there
  TimePoint wait_for_readers_at_{};
  SQLite::Database db_;
  std::unordered_map<std::string, SQLite::Statement, TextHash, std::equal_to<>> statements_;
  std::unordered_map<std::string, std::int64_t> pair_ids_;  // few: SOP classes times syntaxes
  std::unordered_map<std::string, std::int64_t> worker_ids_;
  std::unordered_map<StudyKey, SessionKey> study_sessions_;  // the last that were asked for
  std::map<SessionKey, SessionGrowth> growth_;               // empty outside of a transaction
  bool broken_ = false;
};

template <class... Args>
SQLite::Statement& SqliteLedger::Query(std::string_view sql, const Args&... args) {
  auto it = statements_.find(sql);
  if (it == statements_.end()) it = statements_.try_emplace(std::string(sql), db_, std::string(sql)).first;
  SQLite::Statement& statement = it->second;
  statement.reset();
  int at = 0;
  (BindAt(statement, ++at, args), ...);
  return statement;
}

template <class... Args>
void SqliteLedger::Execute(std::string_view sql, const Args&... args) {
  SQLite::Statement& statement = Query(sql, args...);
  statement.exec();
  statement.reset();
}

template <class Work>
auto SqliteLedger::Guarded(Work work) -> decltype(work()) {
  if (broken_) throw LedgerError(fmt::format("ledger {} failed before and is not used any more", file_));
  try {
    return work();
  } catch (const SQLite::Exception& error) {
    broken_ = true;
    throw LedgerError(fmt::format("ledger {}: {}", file_, Explain(error, db_.getHandle())));
  }
}

tl::expected<void, std::string> SqliteLedger::Prepare() {
  try {
    return CheckAndUpgrade();
  } catch (const SQLite::Exception& error) {
    if (error.getErrorCode() == SQLITE_FULL || error.getErrorCode() == SQLITE_IOERR) {
      throw LedgerError(fmt::format("ledger {} cannot be used: {}", file_, Explain(error, db_.getHandle())));
    }
    const bool not_opened = error.getErrorCode() == SQLITE_CANTOPEN || error.getErrorCode() == SQLITE_READONLY;
    return tl::unexpected(not_opened ? WhyNotOpened(file_) : Explain(error, db_.getHandle()));
  }
}

tl::expected<void, std::string> SqliteLedger::CheckAndUpgrade() {
  const auto refused = [](const char* why) { return tl::unexpected(std::string(why)); };
  KeepLogOnClose(true);  // what is refused stays as it is, with what a program that was killed left beside it
  db_.setBusyTimeout(kOtherWriterWaitMs);
  const int application_id = db_.execAndGet("PRAGMA application_id").getInt();
  const int version = db_.execAndGet("PRAGMA user_version").getInt();
  const bool empty = db_.execAndGet("SELECT count(*) FROM sqlite_master").getInt() == 0;
  if (!empty && application_id != kApplicationId)
    return refused("it is no ledger of dicom-sender; name another file");
  if (!empty && version > kSchemaVersion) return refused("it is of a newer release; use that one");
  if (!empty && (version < 1 || !IsWhole())) return refused(kDamaged);
  KeepLogOnClose(false);
  db_.execAndGet("PRAGMA journal_mode = WAL");
  db_.exec("PRAGMA synchronous = FULL");
  db_.exec(fmt::format("PRAGMA cache_size = -{}", kCacheKibibytes));
  sqlite3_wal_hook(db_.getHandle(), OnCommit, this);
  db_.exec(fmt::format("PRAGMA journal_size_limit = {}", kLogBytesKept));
  db_.exec("BEGIN IMMEDIATE");
  if (empty || version < kSchemaVersion) {
    if (empty) db_.exec(Schema());
    if (!empty) {
      db_.exec(DropLedgerViews());
      if (!Migrate(version)) return refused(kDamaged);
    }
    db_.exec(LedgerViews(SqlDialect::kSqlite));
    db_.exec(fmt::format("PRAGMA application_id = {}", kApplicationId));
    db_.exec(fmt::format("PRAGMA user_version = {}", kSchemaVersion));
  }
  db_.exec("COMMIT");
  return {};
}

// False: it is damaged.
bool SqliteLedger::Migrate(int version) {
  if (version < 2) db_.exec(MigrationFrom1To2());
  if (version < 3 && !MigrateFrom2To3()) return false;
  if (version < 4) db_.exec(MigrationFrom3To4());
  db_.exec(MigrationFrom4To5());
  return true;
}

bool SqliteLedger::MigrateFrom2To3() {
  db_.exec(kMigrationFrom2To3);
  std::map<SessionKey, wire::OpenSession> sessions;
  SQLite::Statement rows(db_, "SELECT key, settings FROM session");
  while (rows.executeStep()) {
    wire::OpenSession& settings = sessions[rows.getColumn(0).getInt64()];
    if (!settings.ParseFromArray(rows.getColumn(1).getBlob(), rows.getColumn(1).getBytes())) return false;
  }
  for (const auto& [key, settings] : sessions) WriteSettings(key, settings);
  return true;
}

// Damage is found before anything is sent or counted by it, as long as reading all of it does not hold up a start: it
// takes half a second for a million instances. In larger ledgers it is found by whoever reads the damaged page.
bool SqliteLedger::IsWhole() {
  // SQLite takes a last page that is cut short for one that ends in zeros. Only while a log waits to be copied into
  // the file may it end anywhere.
  std::error_code error;
  const bool has_log = std::filesystem::file_size(file_ + "-wal", error) > 0 && !error;
  const auto page_bytes = static_cast<std::uintmax_t>(db_.execAndGet("PRAGMA page_size").getInt64());
  const auto bytes = std::filesystem::file_size(file_, error);
  if (!has_log && (error || bytes % page_bytes != 0)) return false;
  return bytes > kCheckedBytesMax || db_.execAndGet("PRAGMA integrity_check(1)").getString() == "ok";
}

void SqliteLedger::Begin() {
  Guarded([&] {
    if (statements_.size() > kCachedStatementsMax) statements_.clear();
    Execute("BEGIN");
  });
}
void SqliteLedger::Commit() {
  Guarded([&] {
    WriteSessionGrowth();
    for (auto& [sql, statement] : statements_) statement.tryReset();  // an open read would hold the transaction
    Execute("COMMIT");
  });
}

// Readers keep the log from being started over, so a reader that polls all the time would let it grow for ever. The
// writer then waits for the readers of the moment; those that come meanwhile do not need the log.
int SqliteLedger::OnCommit(void* ledger, sqlite3* db, const char* /*name*/, int pages) {
  auto& self = *static_cast<SqliteLedger*>(ledger);
  if (pages < kPagesPerCheckpoint) return SQLITE_OK;
  sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  const TimePoint now = MonotonicNow();
  if (pages < kLogPagesMax || now < self.wait_for_readers_at_) return SQLITE_OK;
  sqlite3_busy_timeout(db, kReaderWaitMs);
  const int result = sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_RESTART, nullptr, nullptr);
  sqlite3_busy_timeout(db, kOtherWriterWaitMs);
  if (result == SQLITE_BUSY) self.wait_for_readers_at_ = now + kWaitForReadersEvery;
  return SQLITE_OK;
}

// --- sessions

std::string SessionColumns() {
  return "key, settings, state, end_reason, scan_complete, start_ms, end_ms, studies, ending, worked_ms, "
         "run_start_ms, " +
         CountNames();
}

Counts SqliteLedger::ReadCounts(SQLite::Statement& row, int from_column) {
  Counts counts;
  for (const auto& column : kCountColumns) {
    counts.*column.member = static_cast<std::uint64_t>(row.getColumn(from_column++).getInt64());
  }
  return counts;
}

SessionRecord SqliteLedger::ReadSession(SQLite::Statement& row) {
  SessionRecord record;
  record.key = row.getColumn(0).getInt64();
  const auto settings = row.getColumn(1);
  if (!record.settings.ParseFromArray(settings.getBlob(), settings.getBytes())) {
    throw LedgerError(fmt::format("ledger {}: {}", file_, kDamaged));
  }
  record.state = static_cast<wire::SessionState>(row.getColumn(2).getInt());
  record.end_reason = row.getColumn(3).getString();
  record.scan_complete = row.getColumn(4).getInt() != 0;
  record.start_time = FromMilliseconds(row.getColumn(5).getInt64());
  if (!row.getColumn(6).isNull()) record.end_time = FromMilliseconds(row.getColumn(6).getInt64());
  record.studies = static_cast<std::uint64_t>(row.getColumn(7).getInt64());
  if (!row.getColumn(8).isNull()) record.ending = static_cast<wire::SessionState>(row.getColumn(8).getInt());
  record.worked = std::chrono::milliseconds(row.getColumn(9).getInt64());
  if (!row.getColumn(10).isNull()) record.run_start = FromMilliseconds(row.getColumn(10).getInt64());
  record.counts = ReadCounts(row, 11);
  row.reset();
  if (const auto growth = growth_.find(record.key); growth != growth_.end()) {
    Add(record.counts, growth->second.counts);
    record.studies += growth->second.studies;
  }
  auto& ignored = Query("SELECT reason, sum(files) FROM ignored WHERE session = ? GROUP BY reason", record.key);
  while (ignored.executeStep()) {
    record.ignored[ignored.getColumn(0).getString()] = static_cast<std::uint64_t>(ignored.getColumn(1).getInt64());
  }
  return record;
}

SessionRecord SqliteLedger::CreateSession(const wire::OpenSession& settings, WallTime now) {
  return Guarded([&] {
    Execute("INSERT INTO session (uuid, settings, state, start_ms, run_start_ms) VALUES (?1, x'', ?2, ?3, ?3)",
            settings.session(), std::int64_t{wire::SESSION_SCANNING}, Milliseconds(now));
    const SessionKey session = db_.getLastInsertRowid();
    WriteSettings(session, settings);
    return LoadSession(session);
  });
}

std::optional<SessionRecord> SqliteLedger::FindSession(std::string_view uuid) {
  return Guarded([&]() -> std::optional<SessionRecord> {
    auto& row = Query("SELECT " + SessionColumns() + " FROM session WHERE uuid = ?", uuid);
    if (!row.executeStep()) return std::nullopt;
    return ReadSession(row);
  });
}

SessionRecord SqliteLedger::LoadSession(SessionKey session) {
  return Guarded([&] {
    auto& row = Query("SELECT " + SessionColumns() + " FROM session WHERE key = ?", session);
    if (!row.executeStep()) throw LedgerError(fmt::format("ledger {} has no session {}", file_, session));
    return ReadSession(row);
  });
}

std::vector<SessionKey> SqliteLedger::Sessions() {
  return Guarded([&] {
    std::vector<SessionKey> keys;
    auto& rows = Query("SELECT key FROM session ORDER BY key");
    while (rows.executeStep()) keys.push_back(rows.getColumn(0).getInt64());
    return keys;
  });
}

bool SqliteLedger::BeginScan(SessionKey session, std::string_view indexer, std::uint64_t& scan) {
  return Guarded([&] {
    const std::string name(indexer);
    auto& row = Query("SELECT number FROM scan WHERE session = ? AND indexer = ?", session, Blob{name});
    const bool known = row.executeStep();
    const auto last = known ? static_cast<std::uint64_t>(row.getColumn(0).getInt64()) : 0;
    row.reset();
    if (known && scan <= last) {
      scan = last;
      return false;
    }
    Execute("INSERT OR REPLACE INTO scan VALUES (?, ?, ?, 0)", session, Blob{name}, static_cast<std::int64_t>(scan));
    Execute("DELETE FROM ignored WHERE session = ? AND indexer = ?", session, Blob{name});
    Execute("DELETE FROM unread WHERE session = ? AND indexer = ?", session, Blob{name});
    Execute("UPDATE session SET scan_complete = 0 WHERE key = ?", session);
    return true;
  });
}

void SqliteLedger::CompleteScan(SessionKey session, std::string_view indexer, std::uint64_t scan,
                                const std::map<std::string, std::uint64_t>& ignored) {
  Guarded([&] {
    const std::string name(indexer);
    Execute("UPDATE scan SET complete = 1 WHERE session = ? AND indexer = ? AND number = ? AND NOT complete", session,
            Blob{name}, static_cast<std::int64_t>(scan));
    if (db_.getChanges() == 0) return;
    for (const auto& [reason, files] : ignored) {
      Execute("INSERT INTO ignored VALUES (?, ?, ?, ?)", session, Blob{name}, reason,
              static_cast<std::int64_t>(files));
    }
    Execute(
        "UPDATE session SET scan_complete = NOT EXISTS (SELECT 1 FROM scan WHERE session = ?1 AND NOT complete) "
        "WHERE "
        "key = ?1",
        session);
  });
}

void SqliteLedger::AddUnread(SessionKey session, std::string_view indexer, std::span<const UnreadPath> paths) {
  Guarded([&] {
    const std::string name(indexer);
    for (const UnreadPath& unread : paths) {
      Execute("INSERT OR REPLACE INTO unread VALUES (?, ?, ?, ?, ?)", session, Blob{unread.path}, Blob{name},
              std::int64_t{unread.is_folder}, unread.reason);
    }
  });
}

std::vector<UnreadPath> SqliteLedger::Unread(SessionKey session, std::string_view after, std::size_t limit) {
  return Guarded([&] {
    const std::string last(after);
    std::vector<UnreadPath> paths;
    auto& rows = Query(
        "SELECT path, folder, reason FROM unread WHERE session = ? AND path > ? GROUP BY path ORDER BY path LIMIT ?",
        session, Blob{last}, static_cast<std::int64_t>(limit));
    while (rows.executeStep()) {
      paths.push_back({.path = rows.getColumn(0).getString(),
                       .is_folder = rows.getColumn(1).getInt() != 0,
                       .reason = rows.getColumn(2).getString()});
    }
    rows.reset();
    return paths;
  });
}

std::vector<ScanRecord> SqliteLedger::Scans(SessionKey session) {
  return Guarded([&] {
    std::vector<ScanRecord> scans;
    auto& rows = Query("SELECT indexer, complete FROM scan WHERE session = ? ORDER BY indexer", session);
    while (rows.executeStep()) scans.push_back({rows.getColumn(0).getString(), rows.getColumn(1).getInt() != 0});
    return scans;
  });
}

void SqliteLedger::SetSessionState(SessionKey session, wire::SessionState state, std::string_view end_reason,
                                   WallTime now) {
  Guarded([&] {
    if (state == wire::SESSION_SCANNING || state == wire::SESSION_SENDING) {
      Execute(
          "UPDATE session SET state = ?1, end_reason = '', end_ms = NULL, run_start_ms = coalesce(run_start_ms, ?2)"
          " WHERE key = ?3",
          std::int64_t{state}, Milliseconds(now), session);
    } else {
      Execute(
          "UPDATE session SET state = ?1, end_reason = ?2, end_ms = ?3, ending = NULL,"
          " worked_ms = worked_ms + max(?3 - coalesce(run_start_ms, ?3), 0), run_start_ms = NULL WHERE key = ?4",
          std::int64_t{state}, end_reason, Milliseconds(now), session);
    }
  });
}

void SqliteLedger::BeginRun(SessionKey session, WallTime now) {
  Guarded([&] {
    Execute(
        "UPDATE session SET worked_ms = worked_ms + max(0, coalesce((SELECT max(last_outcome_ms) FROM study"
        " WHERE session = ?1), 0) - coalesce(run_start_ms, ?2)), run_start_ms = ?2 WHERE key = ?1",
        session, Milliseconds(now));
  });
}

void SqliteLedger::SetEnding(SessionKey session, std::optional<wire::SessionState> state) {
  Guarded([&] {
    if (state) return Execute("UPDATE session SET ending = ? WHERE key = ?", std::int64_t{*state}, session);
    Execute("UPDATE session SET ending = NULL WHERE key = ?", session);
  });
}

void SqliteLedger::SetSettings(SessionKey session, const wire::OpenSession& settings) {
  Guarded([&] { WriteSettings(session, settings); });
}

// What the views show of them has columns of its own.
void SqliteLedger::WriteSettings(SessionKey session, const wire::OpenSession& settings) {
  const std::string bytes = settings.SerializeAsString();
  const auto& destination = settings.destination();
  Execute("UPDATE session SET settings = ?, called_ae = ?, calling_ae = ?, host = ?, port = ? WHERE key = ?",
          Blob{bytes}, destination.called_ae(), destination.calling_ae(), destination.host(),
          std::int64_t{destination.port()}, session);
}

int SqliteLedger::BindCounts(SQLite::Statement& statement, const Counts& delta) {
  int at = 0;
  for (const auto& column : kCountColumns) statement.bind(++at, static_cast<std::int64_t>(delta.*column.member));
  return at;
}

void SqliteLedger::AddToStudy(StudyKey study, const Counts& delta, std::optional<WallTime> outcome_time) {
  static const std::string sql =
      "UPDATE study SET " + CountAdditions() + ", last_outcome_ms = coalesce(?, last_outcome_ms) WHERE key = ?";
  auto& statement = Query(sql);
  int at = BindCounts(statement, delta);
  ++at;
  outcome_time ? statement.bind(at, Milliseconds(*outcome_time)) : statement.bind(at);
  statement.bind(++at, study);
  statement.exec();
  statement.reset();
}

void SqliteLedger::AddToSession(SessionKey session, const Counts& delta, std::uint64_t studies) {
  SessionGrowth& growth = growth_[session];
  Add(growth.counts, delta);
  growth.studies += studies;
}

void SqliteLedger::WriteSessionGrowth() {
  static const std::string sql = "UPDATE session SET " + CountAdditions() + ", studies = studies + ? WHERE key = ?";
  for (const auto& [session, growth] : growth_) {
    auto& statement = Query(sql);
    int at = BindCounts(statement, growth.counts);
    statement.bind(++at, static_cast<std::int64_t>(growth.studies));
    statement.bind(++at, session);
    statement.exec();
    statement.reset();
  }
  growth_.clear();
}

std::vector<StudyFeed> SqliteLedger::Requeue(SessionKey session, const RequeueFilter& filter) {
  return Guarded([&] {
    std::vector<StudyFeed> changes;
    RequeueChoice choice{.status = filter.status, .worker = {}, .reason = filter.reason};
    if (filter.worker && !(choice.worker = FindWorkerId(*filter.worker))) return changes;
    for (StudyKey last = 0;;) {
      const std::vector<StudyKey> studies = FailedStudies(session, filter.study_instance_uid, last);
      if (studies.empty()) return changes;
      for (const StudyKey study : studies) {
        const StudyFeed changed = RequeueStudy(study, choice);
        if (changed.pending > 0) changes.push_back(changed);
      }
      last = studies.back();
    }
  });
}

std::vector<StudyKey> SqliteLedger::FailedStudies(SessionKey session, const std::optional<std::string>& uid,
                                                  StudyKey after) {
  std::vector<StudyKey> keys;
  const auto read = [&keys](SQLite::Statement& rows) {
    while (rows.executeStep()) keys.push_back(rows.getColumn(0).getInt64());
  };
  if (uid) {
    read(Query("SELECT key FROM study WHERE session = ? AND uid = ? AND key > ? AND failed > 0", session, *uid,
               after));
  } else {
    read(
        Query("SELECT key FROM study INDEXED BY study_by_session WHERE session = ? AND key > ? AND failed > 0"
              " ORDER BY key LIMIT ?",
              session, after, kStudiesPerRead));
  }
  return keys;
}

// Returns how many instances are pending again.
StudyFeed SqliteLedger::RequeueStudy(StudyKey study, const RequeueChoice& choice) {
  // lower() changes nothing but ASCII.
  static const std::string where =
      " WHERE study = ? AND state = 4 AND defect = 0 AND status IS coalesce(?, status)"
      " AND reported_by IS coalesce(?, reported_by)"
      " AND instr(lower(coalesce(reason, '')), lower(coalesce(?, ''))) > 0";
  static const std::string count = "SELECT count(*), coalesce(sum(size), 0) FROM instance" + where;
  static const std::string update =
      "UPDATE instance SET state = 0, attempts = 0, status = NULL, reason = NULL, duration_us = 0, outcome_ms = NULL,"
      " reported_by = NULL" +
      where;
  auto& row = Query(count, study, choice.status, choice.worker, choice.reason);
  row.executeStep();
  const StudyFeed changed{.study = study,
                          .pending = row.getColumn(0).getUInt(),
                          .pending_bytes = static_cast<std::uint64_t>(row.getColumn(1).getInt64())};
  row.reset();
  if (changed.pending == 0) return changed;
  Execute(update, study, choice.status, choice.worker, choice.reason);
  Counts delta;
  Contribute(delta, InstanceState::kFailed, changed.pending_bytes, 0, true, changed.pending);
  AddToStudy(study, delta, std::nullopt);
  AddToSession(SessionOf(study), delta);
  return changed;
}

// --- the feed

SqliteLedger::Root SqliteLedger::LoadRoot(SessionKey session, const std::string& path) {
  Execute("INSERT OR IGNORE INTO root (session, path) VALUES (?, ?)", session, Blob{path});
  auto& row = Query("SELECT id FROM root WHERE session = ? AND path = ?", session, Blob{path});
  row.executeStep();
  const std::int64_t id = row.getColumn(0).getInt64();
  row.reset();
  return {id, path};
}

std::optional<std::int64_t> SqliteLedger::FindWorkerId(const std::string& name) {
  if (const auto it = worker_ids_.find(name); it != worker_ids_.end()) return it->second;
  auto& row = Query("SELECT id FROM worker WHERE name = ?", name);
  if (!row.executeStep()) return std::nullopt;
  const std::int64_t id = row.getColumn(0).getInt64();
  row.reset();
  if (worker_ids_.size() >= kCachedWorkersMax) worker_ids_.clear();
  return worker_ids_[name] = id;
}

// An outcome whose worker has no name was not reported by any.
std::optional<std::int64_t> SqliteLedger::ReporterId(const std::string& name) {
  if (name.empty()) return std::nullopt;
  if (const auto id = FindWorkerId(name)) return id;
  Execute("INSERT INTO worker (name) VALUES (?)", name);
  return FindWorkerId(name);
}

std::int64_t SqliteLedger::PairId(const wire::Instance& instance) {
  const std::string name = instance.sop_class_uid() + " " + instance.transfer_syntax_uid();
  if (const auto it = pair_ids_.find(name); it != pair_ids_.end()) return it->second;
  Execute("INSERT OR IGNORE INTO pair (sop_class, transfer_syntax) VALUES (?, ?)", instance.sop_class_uid(),
          instance.transfer_syntax_uid());
  auto& row = Query("SELECT id FROM pair WHERE sop_class = ? AND transfer_syntax = ?", instance.sop_class_uid(),
                    instance.transfer_syntax_uid());
  row.executeStep();
  const std::int64_t id = row.getColumn(0).getInt64();
  row.reset();
  if (pair_ids_.size() >= kCachedPairsMax) pair_ids_.clear();
  return pair_ids_[name] = id;
}

SqliteLedger::Intake SqliteLedger::BeginIntake(SessionKey session, const std::string& uid) {
  Intake study;
  auto& row =
      Query("SELECT key, total, accession_number IS NOT NULL FROM study WHERE session = ? AND uid = ?", session, uid);
  if (row.executeStep()) {
    study.feed.study = row.getColumn(0).getInt64();
    study.next_index = static_cast<std::uint64_t>(row.getColumn(1).getInt64());
    study.has_accession_number = row.getColumn(2).getInt() != 0;
    row.reset();
    return study;
  }
  row.reset();
  Execute("INSERT INTO study (session, uid) VALUES (?, ?)", session, uid);
  study.feed.study = db_.getLastInsertRowid();
  AddToSession(session, {}, 1);
  return study;
}

SessionKey SqliteLedger::SessionOf(StudyKey study) {
  if (const auto it = study_sessions_.find(study); it != study_sessions_.end()) return it->second;
  auto& row = Query("SELECT session FROM study WHERE key = ?", study);
  if (!row.executeStep()) throw LedgerError(fmt::format("ledger {} has no study {}", file_, study));
  const SessionKey session = row.getColumn(0).getInt64();
  row.reset();
  if (study_sessions_.size() >= kCachedStudySessionsMax) study_sessions_.clear();
  return study_sessions_[study] = session;
}

void SqliteLedger::Look(SessionKey session, std::int64_t hash, const Root& root, const wire::Instance& instance,
                        Known& known) {
  auto& rows = Query(
      "SELECT i.root, i.path, i.sop_instance, k.study, i.state, r.path, k.idx FROM known k"
      " JOIN instance i ON i.study = k.study AND i.idx = k.idx JOIN root r ON r.id = i.root"
      " WHERE k.session = ? AND k.hash = ? ORDER BY k.study, k.idx",
      session, hash);
  while (rows.executeStep()) {
    const std::string path = rows.getColumn(1).getString();
    const bool same_uid = rows.getColumn(2).getString() == instance.sop_instance_uid();
    if (rows.getColumn(0).getInt64() == root.id && path == instance.path() && same_uid) known.same_file = true;
    if (!same_uid || instance.sop_instance_uid().empty()) continue;
    known.same_uid = true;
    if (known.original || !IsOriginal(static_cast<InstanceState>(rows.getColumn(4).getInt()))) continue;
    known.original = {.study = rows.getColumn(3).getInt64(),
                      .index = rows.getColumn(6).getUInt(),
                      .path = JoinPath(rows.getColumn(5).getString(), path)};
  }
  rows.reset();
}

InstanceState SqliteLedger::AddInstance(const Root& root, const wire::Instance& instance, const Known& known,
                                        Intake& study) {
  const auto [state, reason] = BeginningOf(instance, known.original);
  const std::int64_t pair = PairId(instance);
  Execute(
      "INSERT INTO instance (study, idx, root, path, pair, sop_instance, size, mtime, data_offset, state, reason, "
      "defect)"
      " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, nullif(?, ''), ?)",
      study.feed.study, static_cast<std::int64_t>(study.next_index), root.id, Blob{instance.path()}, pair,
      instance.sop_instance_uid(), static_cast<std::int64_t>(instance.size_bytes()), instance.mtime_ns(),
      static_cast<std::int64_t>(instance.dataset_offset()), static_cast<std::int64_t>(state), reason,
      std::int64_t{state == InstanceState::kFailed});
  if (state == InstanceState::kPending) {
    ++study.feed.pending;
    study.feed.pending_bytes += instance.size_bytes();
    if (pair != study.last_pair) Execute("INSERT OR IGNORE INTO study_pair VALUES (?, ?)", study.feed.study, pair);
    study.last_pair = pair;
  }
  ++study.delta.total;
  study.delta.total_bytes += instance.size_bytes();
  Contribute(study.delta, state, instance.size_bytes(), 0, false);
  return state;
}

// `known` has every file: by its SOP Instance UID, or by its path if it has none. Copies that are not sent are there
// by their path, too: of a UID that thousands of files share only a few have to be looked at for each further one.
void SqliteLedger::AddIfNew(SessionKey session, const std::string& indexer, const Root& root,
                            const wire::Instance& instance, Intake& study) {
  const std::string& uid = instance.sop_instance_uid();
  const auto path_hash = [&] { return PathHash(root.path, instance.path()); };
  std::int64_t hash = uid.empty() ? path_hash() : UidHash(uid);
  Known known;
  Look(session, hash, root, instance, known);
  if (known.same_uid && !known.same_file) Look(session, path_hash(), root, instance, known);
  if (known.same_file) return;
  const InstanceState state = AddInstance(root, instance, known, study);
  if (state == InstanceState::kSkipped) NoteCopy(session, indexer, study, *known.original);
  if (known.same_uid && state != InstanceState::kPending) hash = path_hash();
  Execute("INSERT INTO known VALUES (?, ?, ?, ?)", session, hash, study.feed.study,
          static_cast<std::int64_t>(study.next_index));
  ++study.next_index;
}

std::vector<StudyFeed> SqliteLedger::AddStudies(SessionKey session, const wire::PublishBatch& batch) {
  return Guarded([&] {
    std::unordered_map<std::uint32_t, Root> roots;
    for (const auto& root : batch.roots()) roots[root.id()] = LoadRoot(session, root.path());
    std::vector<StudyFeed> feeds;
    Counts in_all;
    for (const auto& items : batch.studies()) {
      Intake study = BeginIntake(session, items.study_instance_uid());
      if (!study.has_accession_number && !items.accession_number().empty()) {
        Execute("UPDATE study SET accession_number = ? WHERE key = ?", items.accession_number(), study.feed.study);
      }
      for (const auto& instance : items.instances()) {
        auto root = roots.find(instance.root());
        if (root == roots.end()) root = roots.emplace(instance.root(), LoadRoot(session, {})).first;
        AddIfNew(session, batch.indexer(), root->second, instance, study);
      }
      AddToStudy(study.feed.study, study.delta, std::nullopt);
      Add(in_all, study.delta);
      feeds.push_back(study.feed);
    }
    AddToSession(session, in_all);
    return feeds;
  });
}

// --- copies

// Notes that the instance that is added to the study is a copy. A copy of a promoted copy belongs to the first file.
void SqliteLedger::NoteCopy(SessionKey session, const std::string& indexer, const Intake& study,
                            const Original& original) {
  Execute(
      "INSERT INTO copy (study, idx, session, original_study, original_idx, indexer)"
      " SELECT ?, ?, ?, coalesce(c.original_study, o.study), coalesce(c.original_idx, o.idx), ?"
      " FROM (SELECT ? AS study, ? AS idx) o LEFT JOIN copy c ON c.study = o.study AND c.idx = o.idx",
      study.feed.study, static_cast<std::int64_t>(study.next_index), session, IndexerHash(indexer), original.study,
      std::int64_t{original.index});
}

std::vector<UncomparedCopy> SqliteLedger::CopiesToCompare(SessionKey session, std::string_view indexer,
                                                          const InstanceCursor& after, std::size_t limit) {
  return Guarded([&] {
    std::vector<UncomparedCopy> copies;
    auto& rows = Query(
        "SELECT c.study, c.idx, r.path, i.path, q.path, o.path FROM copy c INDEXED BY copy_uncompared"
        " JOIN instance i ON i.study = c.study AND i.idx = c.idx JOIN root r ON r.id = i.root"
        " JOIN instance o ON o.study = c.original_study AND o.idx = c.original_idx JOIN root q ON q.id = o.root"
        " WHERE c.session = ? AND c.conflict IS NULL AND (c.study, c.idx) > (?, ?) AND c.indexer = ?"
        " ORDER BY c.study, c.idx LIMIT ?",
        session, after.study, after.index ? std::int64_t{*after.index} : std::int64_t{-1}, IndexerHash(indexer),
        static_cast<std::int64_t>(limit));
    while (rows.executeStep()) {
      copies.push_back({.study = rows.getColumn(0).getInt64(),
                        .index = rows.getColumn(1).getUInt(),
                        .path = JoinPath(rows.getColumn(2).getString(), rows.getColumn(3).getString()),
                        .original_path = JoinPath(rows.getColumn(4).getString(), rows.getColumn(5).getString())});
    }
    rows.reset();
    return copies;
  });
}

void SqliteLedger::RecordComparisons(SessionKey session, std::span<const Comparison> comparisons) {
  Guarded([&] {
    for (const Comparison& comparison : comparisons) RecordComparison(session, comparison);
  });
}

void SqliteLedger::RecordComparison(SessionKey session, const Comparison& comparison) {
  auto& row = Query(
      "SELECT q.path, o.path, i.size FROM copy c JOIN instance i ON i.study = c.study AND i.idx = c.idx"
      " JOIN instance o ON o.study = c.original_study AND o.idx = c.original_idx JOIN root q ON q.id = o.root"
      " WHERE c.study = ? AND c.idx = ? AND c.session = ? AND c.conflict IS NULL",
      comparison.study, std::int64_t{comparison.index}, session);
  if (!row.executeStep()) return;
  const std::string original = JoinPath(row.getColumn(0).getString(), row.getColumn(1).getString());
  const auto size = static_cast<std::uint64_t>(row.getColumn(2).getInt64());
  row.reset();
  const bool equal = comparison.difference.empty();
  const InstanceState state = equal ? InstanceState::kSkipped : InstanceState::kConflict;
  Execute("UPDATE copy SET conflict = ? WHERE study = ? AND idx = ?", std::int64_t{!equal}, comparison.study,
          std::int64_t{comparison.index});
  Execute("UPDATE instance SET state = ?, reason = ? WHERE study = ? AND idx = ?", static_cast<std::int64_t>(state),
          equal ? DuplicateReason(original) : ConflictReason(original, comparison.difference), comparison.study,
          std::int64_t{comparison.index});
  Counts delta;
  Contribute(delta, InstanceState::kSkipped, size, 0, true);
  Contribute(delta, state, size, 0, false);
  AddToStudy(comparison.study, delta, std::nullopt);
  AddToSession(session, delta);
}

std::vector<PromotedCopy> SqliteLedger::PromoteCopies(StudyKey study) {
  return Guarded([&] {
    std::vector<PromotedCopy> promoted;
    for (const FailedOriginal& failed : FailedOriginals(study)) {
      if (auto copy = Promote(study, failed)) promoted.push_back(*std::move(copy));
    }
    return promoted;
  });
}

std::vector<SqliteLedger::FailedOriginal> SqliteLedger::FailedOriginals(StudyKey study) {
  std::vector<FailedOriginal> failed;
  auto& rows = Query(
      "SELECT i.idx, f.first_study, f.first_idx, f.differs FROM (SELECT DISTINCT original_idx AS idx,"
      "   original_study AS first_study, original_idx AS first_idx, 0 AS differs FROM copy WHERE original_study = ?1"
      "   UNION ALL SELECT idx, original_study, original_idx, conflict FROM copy WHERE study = ?1 AND promoted) f"
      " CROSS JOIN instance i ON i.study = ?1 AND i.idx = f.idx WHERE i.state = 4 AND i.defect = 0 ORDER BY i.idx",
      study);
  while (rows.executeStep()) {
    failed.push_back({.index = rows.getColumn(0).getUInt(),
                      .first_study = rows.getColumn(1).getInt64(),
                      .first_index = rows.getColumn(2).getUInt(),
                      .differs = rows.getColumn(3).getInt() != 0});
  }
  rows.reset();
  return failed;
}

std::optional<PromotedCopy> SqliteLedger::Promote(StudyKey study, const FailedOriginal& failed) {
  auto& next = Query(
      "SELECT c.study, c.idx, coalesce(c.conflict, 1), i.size, i.pair, i.sop_instance, r.path, i.path, c.session, "
      "i.state"
      " FROM copy c JOIN instance i ON i.study = c.study AND i.idx = c.idx JOIN root r ON r.id = i.root"
      " WHERE c.original_study = ? AND c.original_idx = ? AND c.promoted = 0 ORDER BY c.study, c.idx LIMIT 1",
      failed.first_study, std::int64_t{failed.first_index});
  if (!next.executeStep()) return std::nullopt;
  const auto index = next.getColumn(1).getInt64();
  const bool differs = failed.differs || next.getColumn(2).getInt() != 0;
  const auto pair = next.getColumn(4).getInt64();
  const std::string uid = next.getColumn(5).getString();
  const auto state = static_cast<InstanceState>(next.getColumn(9).getInt());
  PromotedCopy copy{.session = next.getColumn(8).getInt64(),
                    .feed = {.study = next.getColumn(0).getInt64(),
                             .pending = 1,
                             .pending_bytes = static_cast<std::uint64_t>(next.getColumn(3).getInt64())},
                    .path = JoinPath(next.getColumn(6).getString(), next.getColumn(7).getString()),
                    .failed_path = {}};
  next.reset();

  auto& original = Query(
      "SELECT r.path, i.path, coalesce(i.reason, ''), i.size, i.may_be_stored FROM instance i JOIN root r ON r.id = "
      "i.root"
      " WHERE i.study = ? AND i.idx = ?",
      study, std::int64_t{failed.index});
  original.executeStep();
  copy.failed_path = JoinPath(original.getColumn(0).getString(), original.getColumn(1).getString());
  const std::string failure = original.getColumn(2).getString();
  const auto failed_bytes = static_cast<std::uint64_t>(original.getColumn(3).getInt64());
  const std::int64_t may_be_stored = original.getColumn(4).getInt64();
  original.reset();

  const InstanceState left = differs ? InstanceState::kConflict : InstanceState::kSkipped;
  Execute("UPDATE instance SET state = ?, reason = ? WHERE study = ? AND idx = ?", static_cast<std::int64_t>(left),
          ReplacedReason(failure, copy.path), study, std::int64_t{failed.index});
  Execute("UPDATE copy SET promoted = 1, conflict = coalesce(conflict, 1) WHERE study = ? AND idx = ?",
          copy.feed.study, index);
  Execute("UPDATE instance SET state = 0, reason = NULL, may_be_stored = ? WHERE study = ? AND idx = ?",
          may_be_stored, copy.feed.study, index);
  Execute("INSERT OR IGNORE INTO study_pair VALUES (?, ?)", copy.feed.study, pair);
  // Later files with this SOP Instance UID are copies of this one.
  Execute("INSERT OR IGNORE INTO known VALUES (?, ?, ?, ?)", copy.session, UidHash(uid), copy.feed.study, index);

  Counts delta_failed, delta_copy;
  Contribute(delta_failed, InstanceState::kFailed, failed_bytes, 0, true);
  Contribute(delta_failed, left, failed_bytes, 0, false);
  Contribute(delta_copy, state, copy.feed.pending_bytes, 0, true);
  AddToStudy(study, delta_failed, std::nullopt);
  AddToStudy(copy.feed.study, delta_copy, std::nullopt);
  AddToSession(copy.session, delta_failed);
  AddToSession(copy.session, delta_copy);
  return copy;
}

// --- studies and leases

std::string StudySelect(const char* index) {
  const std::string counts = ForEachCount([](const std::string& name) { return "s." + name; });
  return "SELECT s.key, s.session, s.uid, s.lease, coalesce(l.worker, ''), s.page_end, s.suspect_end, "
         "s.first_lease_ms,"
         " s.last_outcome_ms, " +
         counts + " FROM study s " + index + " LEFT JOIN lease l ON l.id = s.lease ";
}

StudyRecord SqliteLedger::ReadStudy(SQLite::Statement& row) {
  StudyRecord record;
  record.key = row.getColumn(0).getInt64();
  record.session = row.getColumn(1).getInt64();
  record.uid = row.getColumn(2).getString();
  record.lease = static_cast<LeaseId>(row.getColumn(3).getInt64());
  record.lease_worker = row.getColumn(4).getString();
  record.page_end = row.getColumn(5).getUInt();
  record.suspect_end = row.getColumn(6).getUInt();
  if (!row.getColumn(7).isNull()) record.first_lease_time = FromMilliseconds(row.getColumn(7).getInt64());
  if (!row.getColumn(8).isNull()) record.last_outcome_time = FromMilliseconds(row.getColumn(8).getInt64());
  record.counts = ReadCounts(row, 9);
  record.unsettled_bytes = record.counts.total_bytes - record.counts.settled_bytes;
  return record;
}

std::vector<StudyRecord> SqliteLedger::ReadStudies(SQLite::Statement& rows) {
  std::vector<StudyRecord> records;
  while (rows.executeStep()) records.push_back(ReadStudy(rows));
  return records;
}

StudyRecord SqliteLedger::LoadStudy(StudyKey study) {
  return Guarded([&] {
    static const std::string sql = StudySelect("") + "WHERE s.key = ?";
    auto& row = Query(sql, study);
    if (!row.executeStep()) throw LedgerError(fmt::format("ledger {} has no study {}", file_, study));
    StudyRecord record = ReadStudy(row);
    row.reset();
    return record;
  });
}

std::vector<StudyRecord> SqliteLedger::Studies(SessionKey session, StudyKey after, std::size_t limit) {
  return Guarded([&] {
    static const std::string sql =
        StudySelect("INDEXED BY study_by_session") + "WHERE s.session = ? AND s.key > ? ORDER BY s.key LIMIT ?";
    return ReadStudies(Query(sql, session, after, static_cast<std::int64_t>(limit)));
  });
}

std::vector<StudyFeed> SqliteLedger::UnsettledStudies(SessionKey session, StudyKey after, std::size_t limit) {
  return Guarded([&] {
    static const std::string sql = fmt::format(
        "SELECT key, total - (stored + warned + failed + skipped), total_bytes - settled_bytes FROM study"
        " INDEXED BY study_by_session WHERE session = ? AND key > ? AND {} ORDER BY key LIMIT ?",
        kUnsettledStudies);
    std::vector<StudyFeed> studies;
    auto& rows = Query(sql, session, after, static_cast<std::int64_t>(limit));
    while (rows.executeStep()) {
      studies.push_back({.study = rows.getColumn(0).getInt64(),
                         .pending = rows.getColumn(1).getUInt(),
                         .pending_bytes = static_cast<std::uint64_t>(rows.getColumn(2).getInt64())});
    }
    return studies;
  });
}

LeaseId SqliteLedger::LastLeaseId() {
  return Guarded(
      [&] { return static_cast<LeaseId>(db_.execAndGet("SELECT coalesce(max(id), 0) FROM lease").getInt64()); });
}

std::optional<LeaseRecord> SqliteLedger::FindLease(LeaseId lease) {
  return Guarded([&]() -> std::optional<LeaseRecord> {
    auto& row = Query(
        "SELECT l.study, s.suspect_end, l.last_report_seq, l.associations, s.session, l.worker, l.identity"
        " FROM lease l JOIN study s ON s.key = l.study WHERE l.id = ?",
        static_cast<std::int64_t>(lease));
    if (!row.executeStep()) return std::nullopt;
    LeaseRecord record{.id = lease,
                       .session = row.getColumn(4).getInt64(),
                       .study = row.getColumn(0).getInt64(),
                       .worker = row.getColumn(5).getString(),
                       .identity = row.getColumn(6).getString(),
                       .suspect_end = row.getColumn(1).getUInt(),
                       .last_report_seq = static_cast<std::uint64_t>(row.getColumn(2).getInt64()),
                       .associations = row.getColumn(3).getUInt()};
    row.reset();
    return record;
  });
}

void SqliteLedger::GrantLease(StudyKey study, LeaseId lease, std::string_view worker, std::string_view identity,
                              std::uint32_t worker_capacity, WallTime now) {
  Guarded([&] {
    const auto id = static_cast<std::int64_t>(lease);
    Execute("INSERT INTO lease (id, study, worker, identity) VALUES (?, ?, ?, ?)", id, study, worker, identity);
    Execute("UPDATE study SET lease = ?, page_end = 0, first_lease_ms = coalesce(first_lease_ms, ?) WHERE key = ?",
            id, Milliseconds(now), study);
    Execute(
        "INSERT INTO session_worker VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET threads = excluded.threads"
        " WHERE threads < excluded.threads",
        SessionOf(study), worker, std::int64_t{worker_capacity});
  });
}

std::uint64_t SqliteLedger::EndLease(StudyKey study, bool clean) {
  return Guarded([&] {
    Counts delta;
    if (!clean) delta.resends = CountUnreportedResends(study);
    if (delta.resends > 0) {
      AddToStudy(study, delta, std::nullopt);
      AddToSession(SessionOf(study), delta);
    }
    Execute(
        "UPDATE study SET lease = 0, suspect_end = CASE WHEN ? THEN suspect_end ELSE max(suspect_end, page_end) END"
        " WHERE key = ?",
        std::int64_t{clean}, study);
    return delta.resends;
  });
}

// Of the lease that is in force.
std::uint64_t SqliteLedger::CountUnreportedResends(StudyKey study) {
  auto& row = Query(
      "SELECT count(*) FROM study s CROSS JOIN instance i ON i.study = s.key WHERE s.key = ? AND i.idx < s.page_end"
      " AND (i.idx < s.suspect_end OR i.may_be_stored) AND i.state IN (0, 1)",
      study);
  row.executeStep();
  const auto resends = static_cast<std::uint64_t>(row.getColumn(0).getInt64());
  row.reset();
  return resends;
}

std::vector<StudyRecord> SqliteLedger::LeasedStudies(SessionKey session) {
  return Guarded([&] {
    return ReadStudies(Query(
        StudySelect("INDEXED BY study_leased") + "WHERE s.session = ? AND s.lease > 0 ORDER BY s.key", session));
  });
}

void SqliteLedger::RecordReport(const LeaseRecord& lease, std::uint64_t seq, std::uint32_t associations) {
  Guarded([&] {
    const std::uint32_t opened = std::max(lease.associations, associations);
    Execute("UPDATE lease SET last_report_seq = ?, associations = ? WHERE id = ?", static_cast<std::int64_t>(seq),
            std::int64_t{opened}, static_cast<std::int64_t>(lease.id));
    if (opened == lease.associations) return;
    Counts delta;
    delta.associations = opened - lease.associations;
    AddToStudy(lease.study, delta, std::nullopt);
    AddToSession(lease.session, delta);
  });
}

std::vector<wire::ContextPair> SqliteLedger::ContextPairs(StudyKey study, std::size_t limit) {
  return Guarded([&] {
    std::vector<wire::ContextPair> pairs;
    auto& rows = Query(
        "SELECT p.sop_class, p.transfer_syntax FROM study_pair sp JOIN pair p ON p.id = sp.pair WHERE sp.study = ?"
        " ORDER BY sp.pair LIMIT ?",
        study, static_cast<std::int64_t>(limit));
    while (rows.executeStep()) {
      auto& pair = pairs.emplace_back();
      pair.set_sop_class_uid(rows.getColumn(0).getString());
      pair.set_transfer_syntax_uid(rows.getColumn(1).getString());
    }
    return pairs;
  });
}

// --- instances

wire::ContextPair SqliteLedger::LoadPair(std::int64_t id) {
  wire::ContextPair pair;
  auto& row = Query("SELECT sop_class, transfer_syntax FROM pair WHERE id = ?", id);
  if (!row.executeStep()) throw LedgerError(fmt::format("ledger {} has no pair {}", file_, id));
  pair.set_sop_class_uid(row.getColumn(0).getString());
  pair.set_transfer_syntax_uid(row.getColumn(1).getString());
  row.reset();
  return pair;
}

std::string SqliteLedger::RootPath(std::int64_t id) {
  auto& row = Query("SELECT path FROM root WHERE id = ?", id);
  if (!row.executeStep()) throw LedgerError(fmt::format("ledger {} has no root {}", file_, id));
  std::string path = row.getColumn(0).getString();
  row.reset();
  return path;
}

wire::Page SqliteLedger::LoadPage(StudyKey study, LeaseId lease, std::uint32_t from_index, std::size_t limit) {
  return Guarded([&] {
    wire::Page page;
    page.set_lease_id(lease);
    page.set_from_index(from_index);
    std::set<std::int64_t> roots;
    std::int64_t pair_id = 0;  // ids begin with 1
    wire::ContextPair pair;
    // One more than asked for tells whether there is a next page. Roots and pairs are read by themselves, because
    // nearly all instances of a study have the same.
    auto& rows = Query(
        "SELECT idx, root, path, pair, sop_instance, data_offset, size, mtime, may_be_stored FROM instance"
        " WHERE study = ? AND idx >= ? AND state IN (0, 1) ORDER BY idx LIMIT ?",
        study, std::int64_t{from_index}, static_cast<std::int64_t>(limit + 1));
    while (rows.executeStep()) {
      const auto index = rows.getColumn(0).getUInt();
      if (static_cast<std::size_t>(page.instances_size()) == limit) {
        page.set_next_index(index);
        break;
      }
      auto* instance = page.add_instances();
      const std::int64_t root = rows.getColumn(1).getInt64();
      roots.insert(root);
      if (const std::int64_t id = rows.getColumn(3).getInt64(); id != pair_id) pair = LoadPair(pair_id = id);
      instance->set_index(index);
      instance->set_root(static_cast<std::uint32_t>(root));
      instance->set_path(rows.getColumn(2).getString());
      instance->set_sop_class_uid(pair.sop_class_uid());
      instance->set_sop_instance_uid(rows.getColumn(4).getString());
      instance->set_transfer_syntax_uid(pair.transfer_syntax_uid());
      instance->set_dataset_offset(static_cast<std::uint64_t>(rows.getColumn(5).getInt64()));
      instance->set_size_bytes(static_cast<std::uint64_t>(rows.getColumn(6).getInt64()));
      instance->set_mtime_ns(rows.getColumn(7).getInt64());
      instance->set_alone(rows.getColumn(8).getInt() != 0);
    }
    rows.reset();
    for (const std::int64_t id : roots) {
      auto* root = page.add_roots();
      root->set_id(static_cast<std::uint32_t>(id));
      root->set_path(RootPath(id));
    }
    return page;
  });
}

void SqliteLedger::SetPageEnd(StudyKey study, std::uint32_t page_end) {
  Guarded(
      [&] { Execute("UPDATE study SET page_end = max(page_end, ?) WHERE key = ?", std::int64_t{page_end}, study); });
}

// How many of the first indices follow each other without a gap. They are read together, and most reports are one
// run.
std::size_t RunLength(std::span<const std::uint32_t> indices) {
  std::size_t length = 1;
  while (length < indices.size() && indices[length] == indices[length - 1] + 1) ++length;
  return length;
}

std::vector<InstanceFacts> SqliteLedger::LoadInstances(StudyKey study, std::span<const std::uint32_t> indices) {
  return Guarded([&] {
    std::vector<InstanceFacts> facts;
    facts.reserve(indices.size());
    while (!indices.empty()) {
      const std::size_t length = RunLength(indices);
      auto& rows = Query(
          "SELECT idx, state, attempts, may_be_stored, size, duration_us FROM instance"
          " WHERE study = ? AND idx BETWEEN ? AND ? ORDER BY idx",
          study, std::int64_t{indices.front()}, std::int64_t{indices[length - 1]});
      while (rows.executeStep()) {
        facts.push_back({.index = rows.getColumn(0).getUInt(),
                         .state = static_cast<InstanceState>(rows.getColumn(1).getInt()),
                         .attempts = rows.getColumn(2).getUInt(),
                         .may_be_stored = rows.getColumn(3).getInt() != 0,
                         .size_bytes = static_cast<std::uint64_t>(rows.getColumn(4).getInt64()),
                         .duration_us = rows.getColumn(5).getUInt()});
      }
      rows.reset();
      indices = indices.subspan(length);
    }
    return facts;
  });
}

void SqliteLedger::WriteInstance(const InstanceChange& change, WallTime now) {
  constexpr std::int64_t kNone = -1;
  Execute(
      "UPDATE instance SET state = ?, attempts = ?, status = nullif(?, -1), reason = nullif(?, ''), duration_us = ?,"
      " may_be_stored = ?, outcome_ms = nullif(?, -1), reported_by = ?"
      " WHERE study = ? AND idx = ? AND state = ? AND attempts = ?",
      static_cast<std::int64_t>(change.state), std::int64_t{change.attempts},
      change.status ? std::int64_t{*change.status} : kNone, change.reason, std::int64_t{change.duration_us},
      std::int64_t{change.may_be_stored}, IsSettled(change.state) ? Milliseconds(now) : kNone,
      ReporterId(change.worker), change.study, std::int64_t{change.index},
      static_cast<std::int64_t>(change.before.state), std::int64_t{change.before.attempts});
  if (db_.getChanges() == 1) return;
  throw LedgerError(fmt::format("ledger {}: instance {} of study {} does not exist or is not as it was read", file_,
                                change.index, change.study));
}

void SqliteLedger::ChangeInstances(std::span<const InstanceChange> changes, WallTime now) {
  Guarded([&] {
    std::map<StudyKey, Counts> deltas;
    for (const InstanceChange& change : changes) {
      WriteInstance(change, now);
      Contribute(deltas[change.study], change);
    }
    for (const auto& [study, delta] : deltas) {
      AddToStudy(study, delta, now);
      AddToSession(SessionOf(study), delta);
    }
  });
}

std::uint64_t SqliteLedger::FailStudy(StudyKey study, std::string_view reason, WallTime now) {
  return Guarded([&]() -> std::uint64_t {
    auto& row =
        Query("SELECT count(*), coalesce(sum(size), 0) FROM instance WHERE study = ? AND state IN (0, 1)", study);
    row.executeStep();
    const auto instances = static_cast<std::uint64_t>(row.getColumn(0).getInt64());
    const auto bytes = static_cast<std::uint64_t>(row.getColumn(1).getInt64());
    row.reset();
    if (instances == 0) return 0;
    Execute(
        "UPDATE instance SET state = 4, status = NULL, reason = nullif(?, ''), outcome_ms = ?"
        " WHERE study = ? AND state IN (0, 1)",
        reason, Milliseconds(now), study);
    Counts delta;
    Contribute(delta, InstanceState::kFailed, bytes, 0, false, instances);
    AddToStudy(study, delta, now);
    AddToSession(SessionOf(study), delta);
    return instances;
  });
}

// --- reports

std::vector<ReportedInstance> SqliteLedger::Report(SessionKey session, std::span<const InstanceState> states,
                                                   const InstanceCursor& after, std::size_t limit) {
  return Guarded([&] {
    std::string list;
    for (const InstanceState state : states)
      list += (list.empty() ? "" : ", ") + std::to_string(static_cast<int>(state));
    // The order of the joins is fixed, so that a page starts at the cursor and nothing is sorted.
    auto& rows = Query(
        "SELECT i.study, i.idx, r.path, i.path, s.uid, i.sop_instance, i.status, coalesce(i.reason, ''), i.attempts,"
        " coalesce(w.name, ''), i.state FROM study s INDEXED BY study_by_session CROSS JOIN instance i ON i.study = "
        "s.key"
        " CROSS JOIN root r ON r.id = i.root LEFT JOIN worker w ON w.id = i.reported_by"
        " WHERE s.session = ?1 AND s.key >= ?2 AND " +
            StudiesWith(states) + " AND i.idx > CASE WHEN s.key = ?2 THEN ?3 ELSE -1 END AND i.state IN (" + list +
            ") ORDER BY s.key, i.idx LIMIT ?4",
        session, after.study, after.index ? std::int64_t{*after.index} : std::int64_t{-1},
        static_cast<std::int64_t>(limit));
    std::vector<ReportedInstance> reported;
    while (rows.executeStep()) {
      auto& instance = reported.emplace_back();
      instance.study = rows.getColumn(0).getInt64();
      instance.index = rows.getColumn(1).getUInt();
      instance.path = JoinPath(rows.getColumn(2).getString(), rows.getColumn(3).getString());
      instance.study_instance_uid = rows.getColumn(4).getString();
      instance.sop_instance_uid = rows.getColumn(5).getString();
      if (!rows.getColumn(6).isNull()) instance.status = static_cast<std::uint16_t>(rows.getColumn(6).getInt());
      instance.reason = rows.getColumn(7).getString();
      instance.attempts = rows.getColumn(8).getUInt();
      instance.worker = rows.getColumn(9).getString();
      instance.state = static_cast<InstanceState>(rows.getColumn(10).getInt());
    }
    return reported;
  });
}

FailureReasons SqliteLedger::CountFailureReasons(SessionKey session, std::size_t limit) {
  return Guarded([&] {
    FailureReasons reasons;
    auto& rows = Query(
        "SELECT coalesce(i.reason, ''), count(*), count(*) OVER () FROM study s INDEXED BY study_by_session"
        " CROSS JOIN instance i ON i.study = s.key"
        " WHERE s.session = ? AND s.failed > 0 AND i.state = 4 GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?",
        session, static_cast<std::int64_t>(limit));
    while (rows.executeStep()) {
      reasons.most_frequent.push_back(
          {rows.getColumn(0).getString(), static_cast<std::uint64_t>(rows.getColumn(1).getInt64())});
      reasons.distinct = static_cast<std::uint64_t>(rows.getColumn(2).getInt64());
    }
    return reasons;
  });
}

WorkerCount SqliteLedger::Workers(SessionKey session) {
  return Guarded([&] {
    auto& row = Query("SELECT count(*), coalesce(sum(threads), 0) FROM session_worker WHERE session = ?", session);
    row.executeStep();
    const WorkerCount count{.workers = static_cast<std::uint64_t>(row.getColumn(0).getInt64()),
                            .threads = static_cast<std::uint64_t>(row.getColumn(1).getInt64())};
    row.reset();
    return count;
  });
}

std::vector<PairCount> SqliteLedger::PairCounts(SessionKey session) {
  return Guarded([&] {
    auto& rows = Query(
        "SELECT p.sop_class, p.transfer_syntax, count(*) FROM instance i JOIN pair p ON p.id = i.pair"
        " WHERE i.study IN (SELECT key FROM study WHERE session = ?) AND i.state IN (0, 1)"
        " GROUP BY p.id ORDER BY p.id",
        session);
    std::vector<PairCount> counts;
    while (rows.executeStep()) {
      PairCount& count = counts.emplace_back();
      count.pair.set_sop_class_uid(rows.getColumn(0).getString());
      count.pair.set_transfer_syntax_uid(rows.getColumn(1).getString());
      count.instances = static_cast<std::uint64_t>(rows.getColumn(2).getInt64());
    }
    return counts;
  });
}

}  // namespace

tl::expected<std::unique_ptr<Ledger>, std::string> OpenSqliteLedger(const std::string& file) {
  const auto failed = [&file](std::string_view why) {
    return tl::unexpected(fmt::format("ledger {} cannot be used: {}", file, why));
  };
  try {
    auto lock = LedgerLock::Take(file);
    if (!lock) return failed(WhyNotLocked(file, lock.error()));
    auto ledger = std::make_unique<SqliteLedger>(file, *std::move(lock));
    if (auto prepared = ledger->Prepare(); !prepared) return failed(prepared.error());
    return ledger;
  } catch (const SQLite::Exception&) {  // it could not even be opened
    return failed(WhyNotOpened(file));
  }
}

}  // namespace dicom_sender
