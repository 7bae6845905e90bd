#include "tests/unit/coordinator/ledger/ledger_file.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <fstream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace dicom_sender {
namespace {

std::string ReadAll(const std::string& path) {
  std::stringstream bytes;
  bytes << std::ifstream(path, std::ios::binary).rdbuf();
  return bytes.str();
}

class Database {
 public:
  explicit Database(const std::string& path) {
    const int result = sqlite3_open(path.c_str(), &db_);
    owner_.reset(db_);
    Check(result);
  }
  void Execute(const std::string& sql) { Check(sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr)); }

  std::vector<std::vector<std::string>> Query(const std::string& sql) {
    sqlite3_stmt* statement = nullptr;
    Check(sqlite3_prepare_v2(db_, sql.c_str(), -1, &statement, nullptr));
    const std::unique_ptr<sqlite3_stmt, decltype(&sqlite3_finalize)> owner(statement, sqlite3_finalize);
    std::vector<std::vector<std::string>> rows;
    int result = SQLITE_ROW;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
      auto& row = rows.emplace_back();
      for (int i = 0; i < sqlite3_column_count(statement); ++i) row.push_back(Text(statement, i));
    }
    Check(result == SQLITE_DONE ? SQLITE_OK : result);
    return rows;
  }

 private:
  static std::string Text(sqlite3_stmt* statement, int column) {
    if (sqlite3_column_type(statement, column) == SQLITE_NULL) return "NULL";
    const void* bytes = sqlite3_column_blob(statement, column);
    const std::string_view value(static_cast<const char*>(bytes),
                                 static_cast<std::size_t>(sqlite3_column_bytes(statement, column)));
    if (sqlite3_column_type(statement, column) != SQLITE_BLOB) return std::string(value);
    std::string hex = "x";
    for (const char c : value) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
    return hex;
  }
  void Check(int result) {
    if (result != SQLITE_OK) throw std::runtime_error(sqlite3_errmsg(db_));
  }

  sqlite3* db_ = nullptr;
  std::unique_ptr<sqlite3, decltype(&sqlite3_close)> owner_{nullptr, sqlite3_close};
};

std::string Lines(const std::vector<std::vector<std::string>>& rows) {
  std::string text;
  for (const auto& row : rows) text += fmt::format("{}\n", fmt::join(row, "|"));
  return text;
}

// Includes its write-ahead log.
void CopyLedger(const std::string& from, const std::string& to) {
  std::filesystem::copy_file(from, to);
  if (std::filesystem::exists(from + "-wal")) std::filesystem::copy_file(from + "-wal", to + "-wal");
}

class Copy {
 public:
  explicit Copy(const std::string& path) { CopyLedger(path, file()); }
  std::string file() const { return (folder_ / "copy.db").string(); }

 private:
  TemporaryFolder folder_;
};

}  // namespace

std::string LedgerDump(const std::string& name) { return ReadAll(fmt::format("{}/{}", LEDGER_DUMPS, name)); }

std::string LedgerFile::Bytes() const { return ReadAll(path()); }
std::string LedgerFile::LogBytes() const { return ReadAll(path() + "-wal"); }
void LedgerFile::WriteBytes(const std::string& bytes) const { std::ofstream(path(), std::ios::binary) << bytes; }

void LedgerFile::Sql(const std::string& sql) const { Database(path()).Execute(sql); }

void LedgerFile::BecomeCopyOf(const LedgerFile& other) const { CopyLedger(other.path(), path()); }
void LedgerFile::BecomeSchema(int version) const {
  Sql("PRAGMA journal_mode = WAL;" + LedgerDump(fmt::format("schema_{}.sql", version)));
}

std::string LedgerFile::Rows(const std::string& query) const {
  const Copy copy(path());
  return Lines(Database(copy.file()).Query(query));
}

std::string LedgerFile::Dump() const {
  const Copy copy(path());
  Database db(copy.file());
  std::string text = Lines(db.Query("PRAGMA user_version"));
  for (const auto& table : db.Query("SELECT name, sql FROM sqlite_master ORDER BY name")) {
    text += Lines({table});
    if (table[1].starts_with("CREATE TABLE")) text += Lines(db.Query("SELECT * FROM " + table[0]));
  }
  return text;
}

}  // namespace dicom_sender
