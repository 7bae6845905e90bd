// The ledger in one SQLite file. WAL with synchronous=FULL: what was committed survives a power cut. The file is
// locked for one process.
#pragma once

#include <memory>
#include <string>
#include <tl/expected.hpp>

#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

struct SqliteOptions {
  // Settings of sessions are in the file itself, and not only in the log beside it, as soon as they are committed:
  // for GlanceAtSqliteLedger of other processes.
  bool settings_for_others = false;
};

// Creates the file or opens it; one of an older release becomes one of this release, in one transaction. One of up
// to 256 MiB is read whole to see that it is undamaged. The error is one sentence: in use, damaged, not a ledger, of
// a newer release, not to be written; then the file is as it was. Throws LedgerError for a full disk or an I/O error.
tl::expected<std::unique_ptr<Ledger>, std::string> OpenSqliteLedger(const std::string& file,
                                                                    const SqliteOptions& options = {});

}  // namespace dicom_sender
