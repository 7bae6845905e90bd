// A ledger that the program writes and tests read with SQL, as users do, in each available store.
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
  // Runs the statements. Returns the rows of the last one as text, one per line, with '|' between columns; NULL is
  // "NULL", and times and booleans are formatted as in SQLite. Throws std::runtime_error with the store's error.
  virtual std::string Rows(const std::string& sql) = 0;
  // Does the same as the store's administrator, with the store's own format of values. Throws if the store has no
  // administrator.
  virtual std::string RowsForAdministrator(const std::string& sql) = 0;
};

// Empty if this ledger is available; otherwise the reason why not, for GTEST_SKIP.
std::string WhyNotReadable(SqlDialect dialect);
std::unique_ptr<ReadableLedger> MakeReadableLedger(SqlDialect dialect);

}  // namespace dicom_sender
