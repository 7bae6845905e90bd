// The ledger in one SQLite file. WAL with synchronous=FULL: what was committed survives a power cut. One program
// at a time opens it (ledger_lock.h); others may read the file with SQLite meanwhile. A commit waits for a reader for
// at most a second in each ten, and only when the log beside the file has become large.
#pragma once

#include <memory>
#include <string>
#include <tl/expected.hpp>

#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

// Creates the file or opens it; one of an older release becomes one of this release, in one transaction. One of up
// to 256 MiB is read whole to see that it is undamaged. The error is one sentence: in use, damaged, not a ledger, of
// a newer release, not to be written; then the file is as it was. Throws LedgerError for a full disk or an I/O error.
tl::expected<std::unique_ptr<Ledger>, std::string> OpenSqliteLedger(const std::string& file);

}  // namespace dicom_sender
