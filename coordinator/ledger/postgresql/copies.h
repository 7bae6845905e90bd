// Files with the same SOP Instance UID, as the ledger in PostgreSQL keeps them: what Ledger says of copies. Each
// function returns by how much the counts of studies change, which its caller adds. All throw PostgresqlError.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/ledger/ledger.h"
#include "coordinator/ledger/postgresql/connection.h"

namespace dicom_sender {

using StudyDeltas = std::map<StudyKey, Counts>;

// Copies that are added with a batch, and the files that they are copies of.
class NewCopies {
 public:
  void Add(StudyKey study, std::int64_t index, StudyKey original_study, std::int64_t original_index);
  void Send(PostgresqlConnection& connection, SessionKey session, std::string_view indexer) const;

 private:
  std::vector<std::int64_t> studies_, indices_, original_studies_, original_indices_;
};

std::vector<UncomparedCopy> UncomparedCopies(PostgresqlConnection& connection, SessionKey session,
                                             std::string_view indexer, const InstanceCursor& after,
                                             std::size_t limit);
StudyDeltas RecordComparisons(PostgresqlConnection& connection, SessionKey session,
                              std::span<const Comparison> comparisons);
StudyDeltas PromoteCopies(PostgresqlConnection& connection, StudyKey study, std::vector<PromotedCopy>& promoted);

}  // namespace dicom_sender
