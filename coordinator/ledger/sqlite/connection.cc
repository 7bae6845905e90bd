#include "coordinator/ledger/sqlite/connection.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <cstring>

namespace dicom_sender::sqlite {
namespace {

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
    : file_(file), database_(file, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE | SQLite::OPEN_NOMUTEX) {}

void Connection::Begin() {
  if (statements_.size() > kCachedStatementsMax) statements_.clear();
  Execute("BEGIN");
}

void Connection::Commit() {
  for (auto& [sql, statement] : statements_) statement.tryReset();  // an open read would hold the transaction
  Execute("COMMIT");
}

std::string Connection::Explain(const SQLite::Exception& error) const {
  switch (error.getErrorCode()) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return "another process has it open";
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
