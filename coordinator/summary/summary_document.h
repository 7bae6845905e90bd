// Writes the text of the summary file and of the failures file. The memory that this takes does not depend on the
// number of studies or failures.
#pragma once

#include "common/progress.h"
#include "coordinator/ledger/ledger_reader.h"
#include "coordinator/summary/atomic_file.h"
#include "coordinator/summary/summary.h"

namespace dicom_sender {

inline constexpr int kSummarySchemaVersion = 1;
inline constexpr std::size_t kReportedInstancesMax = 1000;  // per list in the summary file

// The session must not change in the meantime. Notes `progress` for each page that is read. Both functions throw
// LedgerError.
void WriteSummaryTo(AtomicFile& file, LedgerReader& ledger, const SessionSummary& summary, Progress& progress);
void WriteFailuresTo(AtomicFile& file, LedgerReader& ledger, SessionKey session, Progress& progress);

}  // namespace dicom_sender
