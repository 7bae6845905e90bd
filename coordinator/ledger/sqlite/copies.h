// Stores copies, which are files with the same SOP Instance UID. coordinator/ledger/copies.h has the rules.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "coordinator/ledger/intake.h"
#include "coordinator/ledger/sqlite/store.h"

namespace dicom_sender::sqlite {

// Records that a new file is a copy. A copy of a promoted copy refers to the first file with the SOP Instance UID.
void AddCopy(Store& store, SessionKey session, std::string_view indexer, const Intake::NewFile& file,
             const Original& original);

// LedgerReader and Ledger describe these functions.
std::vector<UncomparedCopy> CopiesToCompare(Store& store, SessionKey session, std::string_view indexer,
                                            const InstanceCursor& after, std::size_t limit);
void RecordComparisons(Store& store, SessionKey session, std::span<const Comparison> comparisons);
std::vector<PromotedCopy> PromoteCopies(Store& store, StudyKey study);

}  // namespace dicom_sender::sqlite
