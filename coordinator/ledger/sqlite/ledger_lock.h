// Ensures that only one program writes to a ledger file, while others may read it with SQLite at any time.
//
// SQLite's exclusive lock would also block readers. Therefore this class uses an open file description lock
// (fcntl(2)) on one byte far beyond the end of the file, where SQLite does not lock anything. The kernel releases it
// when the process ends, even after a crash.
#pragma once

#include <string>
#include <tl/expected.hpp>

#include "common/unique_fd.h"

namespace dicom_sender {

class LedgerLock {
 public:
  // Creates the file if it is missing. The error is an errno value: EAGAIN if another program holds the lock.
  static tl::expected<LedgerLock, int> Take(const std::string& file);
  // Returns false if the file cannot be opened.
  static bool IsHeld(const std::string& file);

 private:
  explicit LedgerLock(UniqueFd fd) : fd_(std::move(fd)) {}

  // On POSIX, closing the descriptor also releases the locks that SQLite holds on this file in this process.
  // Therefore the lock must outlive every connection to the ledger.
  UniqueFd fd_;
};

}  // namespace dicom_sender
