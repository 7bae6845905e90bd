// Stores copies, which are files with the same SOP Instance UID. coordinator/ledger/copies.h has the rules.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "coordinator/ledger/intake.h"
#include "coordinator/ledger/postgresql/store.h"

namespace dicom_sender::postgresql {

// Collects the new copies of a batch. A copy of a promoted copy refers to the first file with the SOP Instance UID.
class NewCopies {
 public:
  void Add(const Intake::NewFile& file, const Original& original);
  void Send(Store& store, SessionKey session, std::string_view indexer) const;

 private:
  std::vector<std::int64_t> studies_, indices_, original_studies_, original_indices_;
};

// LedgerReader and Ledger describe these functions.
std::vector<UncomparedCopy> CopiesToCompare(Store& store, SessionKey session, std::string_view indexer,
                                            const InstanceCursor& after, std::size_t limit);
void RecordComparisons(Store& store, SessionKey session, std::span<const Comparison> comparisons);
std::vector<PromotedCopy> PromoteCopies(Store& store, StudyKey study);

}  // namespace dicom_sender::postgresql
