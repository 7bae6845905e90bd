// The text of the summary file and of the failures file. Memory does not grow with studies or failures.
#pragma once

#include "common/progress.h"
#include "coordinator/ledger/ledger_reader.h"
#include "coordinator/summary/atomic_file.h"
#include "coordinator/summary/summary.h"

namespace dicom_sender {

inline constexpr int kSummarySchemaVersion = 1;
inline constexpr std::size_t kReportedInstancesMax = 1000;  // in each list of the summary file

// For a session that does not change meanwhile. `progress` is noted at each page that is read. Both throw
// LedgerError.
void WriteSummaryTo(AtomicFile& file, LedgerReader& ledger, const SessionSummary& summary, Progress& progress);
void WriteFailuresTo(AtomicFile& file, LedgerReader& ledger, SessionKey session, Progress& progress);

}  // namespace dicom_sender
