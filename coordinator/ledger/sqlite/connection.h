// A connection to the file of a ledger, which prepares each statement once. Not thread-safe. Functions throw
// SQLite::Exception unless a comment says otherwise; SqliteLedger converts it to LedgerError.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "common/time.h"

namespace dicom_sender::sqlite {

inline constexpr const char* kDamaged = "it is damaged; replace it with a backup, or remove it and start over";

// A statement argument for a column that contains bytes.
struct Blob {
  std::string_view bytes;
};

class Connection {
 public:
  // Opens the file, or creates it.
  explicit Connection(const std::string& file);

  const std::string& file() const { return file_; }
  SQLite::Database& database() { return database_; }

  // Returns the statement with these arguments bound, for reading row by row. It is valid until the next Begin().
  // Another Query() with the same text restarts it. Reset a statement that was not read to its end.
  template <class... Args>
  SQLite::Statement& Query(std::string_view sql, const Args&... args);
  template <class... Args>
  void Execute(std::string_view sql, const Args&... args);
  std::int64_t LastInsertedKey() { return database_.getLastInsertRowid(); }
  int ChangedRows() { return database_.getChanges(); }

  void Begin();
  void Commit();
  // From now on, each commit keeps the write-ahead log short. Call it after the file has been switched to WAL mode.
  void ManageLog();

  // Says what a failure means and what to do about it. Does not throw.
  std::string Explain(const SQLite::Exception& error) const;

 private:
  struct TextHash {  // allows a lookup by string_view without a copy
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  static void BindAt(SQLite::Statement& statement, int at, Blob blob) {
    const char* data = blob.bytes.data() != nullptr ? blob.bytes.data() : "";  // a null pointer would bind NULL
    statement.bind(at, data, static_cast<int>(blob.bytes.size()));
  }
  static void BindAt(SQLite::Statement& statement, int at, const std::string& text) { statement.bind(at, text); }
  static void BindAt(SQLite::Statement& statement, int at, std::string_view text) {
    statement.bind(at, std::string(text));
  }
  static void BindAt(SQLite::Statement& statement, int at, const char* text) { statement.bind(at, text); }
  static void BindAt(SQLite::Statement& statement, int at, std::int64_t value) { statement.bind(at, value); }
  template <class Value>
  static void BindAt(SQLite::Statement& statement, int at, const std::optional<Value>& value) {
    value ? BindAt(statement, at, *value) : statement.bind(at);
  }

  static int OnCommit(void* connection, sqlite3* db, const char* name, int pages);

  const std::string file_;
  TimePoint wait_for_readers_at_{};  // the next wait, or when the log has so many pages
  int wait_for_readers_pages_ = 0;
  SQLite::Database database_;
  std::unordered_map<std::string, SQLite::Statement, TextHash, std::equal_to<>> statements_;
};

template <class... Args>
SQLite::Statement& Connection::Query(std::string_view sql, const Args&... args) {
  auto it = statements_.find(sql);
  if (it == statements_.end()) it = statements_.try_emplace(std::string(sql), database_, std::string(sql)).first;
  SQLite::Statement& statement = it->second;
  statement.reset();
  int at = 0;
  (BindAt(statement, ++at, args), ...);
  return statement;
}

template <class... Args>
void Connection::Execute(std::string_view sql, const Args&... args) {
  SQLite::Statement& statement = Query(sql, args...);
  statement.exec();
  statement.reset();
}

}  // namespace dicom_sender::sqlite
