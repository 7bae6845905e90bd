#include "coordinator/ledger/sqlite/connection.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <cstring>

namespace dicom_sender::sqlite {
namespace {

constexpr int kPagesPerCheckpoint = 8192;  // of 4 KiB; many, so that often changed pages are copied back less often
constexpr int kLogPagesMax = 32768;        // 128 MiB; beyond that, a commit waits briefly for readers
constexpr int kReaderWaitMs = 200;
constexpr std::chrono::seconds kWaitForReadersEvery(10);
constexpr int kWaitForReadersPages = 16384;        // 64 MiB; if the log grows faster, the next wait is earlier
constexpr int kOtherWriterWaitMs = 5000;           // in case someone writes to the ledger with the sqlite3 shell
constexpr std::size_t kCachedStatementsMax = 200;  // some statements are specific to a set of states

// Returns the errno behind an SQLite error that only says "disk I/O error", or 0. After a failed statement,
// sqlite3_system_errno() does not return it.
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
  // A transaction that reads first and then writes would not wait for another program that writes at that moment.
  Execute("BEGIN IMMEDIATE");
}

void Connection::Commit() {
  for (auto& [sql, statement] : statements_) statement.tryReset();  // an open read would keep the transaction open
  Execute("COMMIT");
}

void Connection::ManageLog() { sqlite3_wal_hook(database_.getHandle(), OnCommit, this); }

// A reader that polls constantly prevents SQLite from restarting the write-ahead log, so the log would grow without
// limit. In that case, the commit waits for the current readers. Readers that begin in the meantime do not need the
// log.
int Connection::OnCommit(void* connection, sqlite3* db, const char* /*name*/, int pages) {
  auto& self = *static_cast<Connection*>(connection);
  if (pages < kPagesPerCheckpoint) return SQLITE_OK;
  sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  const TimePoint now = MonotonicNow();
  if (pages < kLogPagesMax) return SQLITE_OK;
  if (now < self.wait_for_readers_at_ && pages < self.wait_for_readers_pages_) return SQLITE_OK;
  sqlite3_busy_timeout(db, kReaderWaitMs);
  const int result = sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_RESTART, nullptr, nullptr);
  sqlite3_busy_timeout(db, kOtherWriterWaitMs);
  if (result == SQLITE_BUSY) {
    self.wait_for_readers_at_ = now + kWaitForReadersEvery;
    self.wait_for_readers_pages_ = pages + kWaitForReadersPages;
  }
  return SQLITE_OK;
}

std::string Connection::Explain(const SQLite::Exception& error) const {
  switch (error.getErrorCode()) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return "another program is writing to it; stop that program, and read the ledger only with 'sqlite3 -readonly'";
    case SQLITE_NOTADB:
      return "it is damaged or not a dicom-sender ledger; name another file, or replace it with a backup";
    case SQLITE_CORRUPT:
      return kDamaged;
    case SQLITE_FULL:
      return "the disk is full; free some space and start again";
    case SQLITE_IOERR: {
      const int os_error = LastOsError(database_.getHandle());
      const std::string detail = os_error != 0 ? fmt::format(" ({})", std::strerror(os_error)) : std::string();
      return fmt::format("{}{}; check the disk and start again", error.what(), detail);
    }
    default:
      return error.what();
  }
}

}  // namespace dicom_sender::sqlite
