// Checks the file of a ledger when it is opened, and migrates its schema to this release.
#pragma once

#include <string>
#include <tl/expected.hpp>

#include "coordinator/ledger/sqlite/connection.h"

namespace dicom_sender::sqlite {

// Call it before any other use of the connection. The error says what is wrong and what to do, and the file has not
// changed. Throws LedgerError if the disk is full or an I/O error occurs.
tl::expected<void, std::string> Prepare(Connection& connection);

// Finds out why a file could not be opened, because SQLite does not say it.
std::string WhyNotOpened(const std::string& file);
// `error`: the error of LedgerLock::Take().
std::string WhyNotLocked(const std::string& file, int error);

}  // namespace dicom_sender::sqlite
