// The ledger in one SQLite file, in WAL mode with synchronous=FULL, so that commits survive a power failure. Only one
// program at a time opens it (ledger_lock.h); others may read the file with SQLite in the meantime. A commit waits
// for readers only when the write-ahead log has become large, and at most one second in ten seconds or in 64 MiB of
// log.
#pragma once

#include <memory>
#include <string>
#include <tl/expected.hpp>

#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

// Opens the file, or creates it. Migrates a ledger of an older release in one transaction. Checks a file of up to
// 256 MiB completely for damage. The error is one sentence: the file is in use, damaged, not a ledger, from a newer
// release, or not writable. In that case the file has not changed. Throws LedgerError if the disk is full or an I/O
// error occurs.
tl::expected<std::unique_ptr<Ledger>, std::string> OpenSqliteLedger(const std::string& file);

}  // namespace dicom_sender
