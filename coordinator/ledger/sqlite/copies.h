// Files with the same SOP Instance UID. coordinator/ledger/copies.h judges them.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "coordinator/ledger/intake.h"
#include "coordinator/ledger/sqlite/store.h"

namespace dicom_sender::sqlite {

// A new file is a copy. A copy of a promoted copy belongs to the first file with its SOP Instance UID.
void AddCopy(Store& store, SessionKey session, std::string_view indexer, const Intake::NewFile& file,
             const Original& original);

// As LedgerReader and Ledger say.
std::vector<UncomparedCopy> CopiesToCompare(Store& store, SessionKey session, std::string_view indexer,
                                            const InstanceCursor& after, std::size_t limit);
void RecordComparisons(Store& store, SessionKey session, std::span<const Comparison> comparisons);
std::vector<PromotedCopy> PromoteCopies(Store& store, StudyKey study);

}  // namespace dicom_sender::sqlite
