// Queries for summaries, reports, and dry runs. LedgerReader describes these functions.
#pragma once

#include <span>
#include <vector>

#include "coordinator/ledger/postgresql/store.h"

namespace dicom_sender::postgresql {

std::vector<ReportedInstance> Report(Store& store, SessionKey session, std::span<const InstanceState> states,
                                     const InstanceCursor& after, std::size_t limit);
FailureReasons CountFailureReasons(Store& store, SessionKey session, std::size_t limit);
WorkerCount Workers(Store& store, SessionKey session);
std::vector<PairCount> PairCounts(Store& store, SessionKey session);

}  // namespace dicom_sender::postgresql
