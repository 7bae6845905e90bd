// A ledger that is written by the program and read with SQL, as people do: in each store that there is.
#pragma once

#include <memory>
#include <string>

#include "coordinator/ledger/ledger.h"
#include "coordinator/ledger/views/views.h"

namespace dicom_sender {

class ReadableLedger {
 public:
  virtual ~ReadableLedger() = default;
  virtual Ledger& ledger() = 0;
  // Runs the statements. The rows of the last one as text, a line each, '|' between columns; NULL is "NULL", times
  // and yes and no are as in SQLite. Throws std::runtime_error with what the store said.
  virtual std::string Rows(const std::string& sql) = 0;
  // The same as the store's administrator, with the store's own text of values. Where there is none, it throws.
  virtual std::string RowsForAdministrator(const std::string& sql) = 0;
};

// Empty: there can be one here. Otherwise why not, for GTEST_SKIP.
std::string WhyNotReadable(SqlDialect dialect);
std::unique_ptr<ReadableLedger> MakeReadableLedger(SqlDialect dialect);

}  // namespace dicom_sender
