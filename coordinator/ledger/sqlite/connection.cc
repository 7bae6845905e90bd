#include "coordinator/ledger/sqlite/connection.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <cstring>

namespace dicom_sender::sqlite {
namespace {

constexpr int kPagesPerCheckpoint = 8192;  // of 4 KiB: a page that changes often is written to its place less often
constexpr int kLogPagesMax = 32768;        // 128 MiB; from then on, a commit waits for readers for a moment
constexpr int kReaderWaitMs = 200;
constexpr std::chrono::seconds kWaitForReadersEvery(10);
constexpr int kOtherWriterWaitMs = 5000;           // for a person who writes to the ledger with SQLite
constexpr std::size_t kCachedStatementsMax = 200;  // some are made for one set of states

// What the operating system said when SQLite says no more than "disk I/O error"; 0: nothing. After a failed
// statement, sqlite3_system_errno does not know it.
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

}  // namespace

Connection::Connection(const std::string& file)
    : file_(file), database_(file, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE | SQLite::OPEN_NOMUTEX) {
  database_.setBusyTimeout(kOtherWriterWaitMs);
}

void Connection::Begin() {
  if (statements_.size() > kCachedStatementsMax) statements_.clear();
  Execute("BEGIN");
}

void Connection::Commit() {
  for (auto& [sql, statement] : statements_) statement.tryReset();  // an open read would hold the transaction
  Execute("COMMIT");
}

void Connection::ManageLog() { sqlite3_wal_hook(database_.getHandle(), OnCommit, this); }

// A reader that polls all the time prevents SQLite from starting the log over, so the log would grow forever. In that
// case, the commit waits for the readers of the moment. Those that begin meanwhile do not need the log.
int Connection::OnCommit(void* connection, sqlite3* db, const char* /*name*/, int pages) {
  auto& self = *static_cast<Connection*>(connection);
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

std::string Connection::Explain(const SQLite::Exception& error) const {
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
      const int os_error = LastOsError(database_.getHandle());
      const std::string detail = os_error != 0 ? fmt::format(" ({})", std::strerror(os_error)) : std::string();
      return fmt::format("{}{}; see to the disk and start again", error.what(), detail);
    }
    default:
      return error.what();
  }
}

}  // namespace dicom_sender::sqlite
