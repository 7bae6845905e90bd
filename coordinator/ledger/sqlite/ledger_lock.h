// Makes sure that only one program writes a ledger file, while others may read it with SQLite at any time.
//
// SQLite's own exclusive lock would keep readers out, too. So this is a lock of our own: an open file description
// lock (fcntl(2)) on one byte far beyond the end of the file, where SQLite locks nothing. The kernel removes it when
// the process ends, however it ends.
#pragma once

#include <string>
#include <tl/expected.hpp>

#include "common/unique_fd.h"

namespace dicom_sender {

class LedgerLock {
 public:
  // Creates the file if it is missing. The error is an errno value: EAGAIN if another program holds the lock.
  static tl::expected<LedgerLock, int> Take(const std::string& file);
  // False if the file cannot be opened.
  static bool IsHeld(const std::string& file);

 private:
  explicit LedgerLock(UniqueFd fd) : fd_(std::move(fd)) {}

  // Closing it also removes the locks that SQLite holds on this file in this process (POSIX), so the lock must
  // outlive every connection to the ledger.
  UniqueFd fd_;
};

}  // namespace dicom_sender
