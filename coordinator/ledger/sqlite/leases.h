// Leases of studies. LedgerReader and Ledger describe these functions.
#pragma once

#include <optional>
#include <string_view>

#include "coordinator/ledger/sqlite/store.h"

namespace dicom_sender::sqlite {

LeaseId LastLeaseId(Store& store);
std::optional<LeaseRecord> FindLease(Store& store, LeaseId lease);
void GrantLease(Store& store, StudyKey study, LeaseId lease, std::string_view worker, std::string_view identity,
                std::uint32_t worker_capacity, WallTime now);
std::uint64_t EndLease(Store& store, StudyKey study, bool clean);
void RecordReport(Store& store, const LeaseRecord& lease, std::uint64_t seq, std::uint32_t associations);
void SetPageEnd(Store& store, StudyKey study, std::uint32_t page_end);

}  // namespace dicom_sender::sqlite
