// The file of a ledger as tests look at it and change it behind the ledger's back. Throws std::runtime_error with
// what SQLite said.
#pragma once

#include <filesystem>
#include <string>

#include "tests/support/temporary_folder.h"

namespace dicom_sender {

// The SQL of one of the ledgers of older schemas that are beside this file.
std::string LedgerDump(const std::string& name);

class LedgerFile {
 public:
  std::string path() const { return (folder_ / "ledger.db").string(); }
  const std::filesystem::path& folder() const { return folder_.path(); }

  std::string Bytes() const;     // of the file alone
  std::string LogBytes() const;  // of what is not in it yet, because its program was killed; empty: nothing
  void WriteBytes(const std::string& bytes) const;

  // As another program would, while nobody has it open.
  void Sql(const std::string& sql) const;
  // With all that was committed, as after a crash; the other may be open.
  void BecomeCopyOf(const LedgerFile& other) const;
  // The ledger is one of an older schema: schema_1.sql, schema_2.sql or schema_3.sql.
  void BecomeSchema(int version) const;

  // The rows of a query as text, a line each. Read from a copy: nobody is in the way of it, and it is in nobody's.
  std::string Rows(const std::string& query) const;
  // The same of all tables, with their definitions and the version of the schema.
  std::string Dump() const;

 private:
  TemporaryFolder folder_;
};

}  // namespace dicom_sender
