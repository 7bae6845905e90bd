// Lets tests read and change the file of a ledger directly. Throws std::runtime_error with SQLite's error.
#pragma once

#include <filesystem>
#include <string>

#include "tests/support/temporary_folder.h"

namespace dicom_sender {

// Returns the SQL of one of the ledgers with older schemas that are in this folder.
std::string LedgerDump(const std::string& name);

class LedgerFile {
 public:
  std::string path() const { return (folder_ / "ledger.db").string(); }
  const std::filesystem::path& folder() const { return folder_.path(); }

  std::string Bytes() const;     // of the file without its log
  std::string LogBytes() const;  // what is not in the file yet because its program was killed; empty: nothing
  void WriteBytes(const std::string& bytes) const;

  // Changes the file as another program would. It must not be open.
  void Sql(const std::string& sql) const;
  // Copies the other ledger with all committed data, as after a crash. The other ledger may be open.
  void BecomeCopyOf(const LedgerFile& other) const;
  // Creates a ledger of an older schema: schema_1.sql, schema_2.sql, or schema_3.sql.
  void BecomeSchema(int version) const;

  // Returns the rows of a query as text, one per line. Reads a copy, so there are no lock conflicts.
  std::string Rows(const std::string& query) const;
  // Returns the same for all tables, with their definitions and the version of the schema.
  std::string Dump() const;

 private:
  TemporaryFolder folder_;
};

}  // namespace dicom_sender
