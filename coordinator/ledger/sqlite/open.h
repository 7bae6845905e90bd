// Opens a ledger's file: checks it and brings its tables up to this release.
#pragma once

#include <string>
#include <tl/expected.hpp>

#include "coordinator/ledger/sqlite/connection.h"

namespace dicom_sender::sqlite {

// To be called before anything else is done with the connection. The error says what is wrong and what to do; then
// the file is as it was. Throws LedgerError for a full disk or an I/O error.
tl::expected<void, std::string> Prepare(Connection& connection);

// SQLite only says that it could not open something.
std::string WhyNotOpened(const std::string& file);
// `error`: of LedgerLock::Take.
std::string WhyNotLocked(const std::string& file, int error);

}  // namespace dicom_sender::sqlite
