#include "coordinator/ledger/postgresql/copies.h"

#include "common/text.h"
#include "coordinator/ledger/counts.h"

namespace dicom_sender {
namespace {

using Values = PostgresqlValues;

std::string PathAt(const PostgresqlRows& rows, int row, int root_column) {
  return JoinPath(std::string(rows.Bytes(row, root_column)), std::string(rows.Bytes(row, root_column + 1)));
}

// An instance that has failed, and the first file with its SOP Instance UID: itself, or what it was sent in place of.
struct FailedOriginal {
  std::int64_t index = 0;
  StudyKey first_study = 0;
  std::int64_t first_index = 0;
  bool differs = false;  // from the first one
};

std::vector<FailedOriginal> FailedOriginals(PostgresqlConnection& connection, StudyKey study) {
  const auto rows = connection.Query(
      "SELECT i.idx, f.first_study, f.first_idx, f.differs FROM (SELECT DISTINCT original_idx AS idx,"
      "   original_study AS first_study, original_idx AS first_idx, 0 AS differs FROM copy"
      "   WHERE original_study = $1::bigint UNION ALL SELECT idx, original_study, original_idx, conflict FROM copy"
      "   WHERE study = $1::bigint AND promoted = 1 OFFSET 0) f CROSS JOIN LATERAL (SELECT * FROM instance"
      "   WHERE study = $1::bigint AND idx = f.idx OFFSET 0) i WHERE i.state = 4 AND i.defect = 0 ORDER BY i.idx",
      Values().Int(study));
  std::vector<FailedOriginal> failed;
  failed.reserve(static_cast<std::size_t>(rows.size()));
  for (int row = 0; row < rows.size(); ++row) {
    failed.push_back({.index = rows.Int(row, 0),
                      .first_study = rows.Int(row, 1),
                      .first_index = rows.Int(row, 2),
                      .differs = rows.Int(row, 3) != 0});
  }
  return failed;
}

void Promote(PostgresqlConnection& connection, StudyKey study, const FailedOriginal& failed, StudyDeltas& deltas,
             std::vector<PromotedCopy>& promoted) {
  const auto next = connection.Query(
      "SELECT c.study, c.idx, coalesce(c.conflict, 1), i.size, i.pair, i.sop_instance, c.session, i.state, r.path, "
      "i.path"
      " FROM (SELECT * FROM copy WHERE original_study = $1::bigint AND original_idx = $2::bigint AND promoted = 0"
      "   ORDER BY study, idx LIMIT 1) c CROSS JOIN LATERAL (SELECT * FROM instance WHERE study = c.study"
      "   AND idx = c.idx OFFSET 0) i CROSS JOIN LATERAL (SELECT path FROM root WHERE id = i.root OFFSET 0) r",
      Values().Int(failed.first_study).Int(failed.first_index));
  if (next.size() == 0) return;
  const auto original = connection.Query(
      "SELECT coalesce(i.reason, ''), i.size, i.may_be_stored, r.path, i.path FROM instance i JOIN root r ON r.id = "
      "i.root"
      " WHERE i.study = $1::bigint AND i.idx = $2::bigint",
      Values().Int(study).Int(failed.index));
  PromotedCopy copy{
      .session = next.Int(0, 6),
      .feed = {.study = next.Int(0, 0), .pending = 1, .pending_bytes = static_cast<std::uint64_t>(next.Int(0, 3))},
      .path = PathAt(next, 0, 8),
      .failed_path = PathAt(original, 0, 3)};
  const bool differs = failed.differs || next.Int(0, 2) != 0;
  const InstanceState left = differs ? InstanceState::kConflict : InstanceState::kSkipped;
  const std::string uid = DecodedText(next.Bytes(0, 5));
  connection.Send(
      "UPDATE instance SET state = $1::bigint, reason = $2::text WHERE study = $3::bigint AND idx = $4::bigint",
      Values()
          .Int(static_cast<std::int64_t>(left))
          .Text(ReplacedReason(original.Text(0, 0), copy.path))
          .Int(study)
          .Int(failed.index));
  connection.Send(
      "UPDATE copy SET promoted = 1, conflict = coalesce(conflict, 1) WHERE study = $1::bigint AND idx = $2::bigint",
      Values().Int(copy.feed.study).Int(next.Int(0, 1)));
  connection.Send(
      "UPDATE instance SET state = 0, reason = NULL, may_be_stored = $1::bigint WHERE study = $2::bigint"
      " AND idx = $3::bigint",
      Values().Int(original.Int(0, 2)).Int(copy.feed.study).Int(next.Int(0, 1)));
  connection.Send("INSERT INTO study_pair VALUES ($1::bigint, $2::bigint) ON CONFLICT DO NOTHING",
                  Values().Int(copy.feed.study).Int(next.Int(0, 4)));
  // Later files with this SOP Instance UID are copies of this one.
  connection.Send("INSERT INTO known VALUES ($1::bigint, $2::bigint, $3::bigint, $4::bigint) ON CONFLICT DO NOTHING",
                  Values().Int(copy.session).Int(UidHash(uid)).Int(copy.feed.study).Int(next.Int(0, 1)));
  const auto failed_bytes = static_cast<std::uint64_t>(original.Int(0, 1));
  Contribute(deltas[study], InstanceState::kFailed, failed_bytes, 0, true);
  Contribute(deltas[study], left, failed_bytes, 0, false);
  Contribute(deltas[copy.feed.study], static_cast<InstanceState>(next.Int(0, 7)), copy.feed.pending_bytes, 0, true);
  promoted.push_back(std::move(copy));
}

}  // namespace

void NewCopies::Add(StudyKey study, std::int64_t index, StudyKey original_study, std::int64_t original_index) {
  studies_.push_back(study);
  indices_.push_back(index);
  original_studies_.push_back(original_study);
  original_indices_.push_back(original_index);
}

// A copy of a promoted copy belongs to the first file.
void NewCopies::Send(PostgresqlConnection& connection, SessionKey session, std::string_view indexer) const {
  if (studies_.empty()) return;
  connection.Send(
      "INSERT INTO copy (study, idx, session, original_study, original_idx, indexer)"
      " SELECT n.study, n.idx, $5::bigint, coalesce(c.original_study, n.original_study),"
      " coalesce(c.original_idx, n.original_idx), $6::bigint FROM unnest($1::bigint[], $2::bigint[], $3::bigint[],"
      " $4::bigint[]) AS n(study, idx, original_study, original_idx)"
      " LEFT JOIN copy c ON c.study = n.original_study AND c.idx = n.original_idx",
      Values()
          .Ints(studies_)
          .Ints(indices_)
          .Ints(original_studies_)
          .Ints(original_indices_)
          .Int(session)
          .Int(IndexerHash(indexer)));
}

std::vector<UncomparedCopy> UncomparedCopies(PostgresqlConnection& connection, SessionKey session,
                                             std::string_view indexer, const InstanceCursor& after,
                                             std::size_t limit) {
  const auto rows = connection.Query(
      "SELECT c.study, c.idx, r.path, i.path, q.path, o.path FROM (SELECT * FROM copy WHERE session = $1::bigint"
      "   AND conflict IS NULL AND (study, idx) > ($2::bigint, $3::bigint) AND indexer = $4::bigint"
      "   ORDER BY study, idx LIMIT $5::bigint) c"
      " CROSS JOIN LATERAL (SELECT * FROM instance WHERE study = c.study AND idx = c.idx OFFSET 0) i"
      " CROSS JOIN LATERAL (SELECT path FROM root WHERE id = i.root OFFSET 0) r CROSS JOIN LATERAL"
      " (SELECT * FROM instance WHERE study = c.original_study AND idx = c.original_idx OFFSET 0) o"
      " CROSS JOIN LATERAL (SELECT path FROM root WHERE id = o.root OFFSET 0) q ORDER BY c.study, c.idx",
      Values()
          .Int(session)
          .Int(after.study)
          .Int(after.index ? std::int64_t{*after.index} : std::int64_t{-1})
          .Int(IndexerHash(indexer))
          .Int(static_cast<std::int64_t>(limit)));
  std::vector<UncomparedCopy> copies;
  copies.reserve(static_cast<std::size_t>(rows.size()));
  for (int row = 0; row < rows.size(); ++row) {
    copies.push_back({.study = rows.Int(row, 0),
                      .index = static_cast<std::uint32_t>(rows.Int(row, 1)),
                      .path = PathAt(rows, row, 2),
                      .original_path = PathAt(rows, row, 4)});
  }
  return copies;
}

StudyDeltas RecordComparisons(PostgresqlConnection& connection, SessionKey session,
                              std::span<const Comparison> comparisons) {
  StudyDeltas deltas;
  for (const Comparison& comparison : comparisons) {
    const bool equal = comparison.difference.empty();
    const auto compared = connection.Query(
        "UPDATE copy c SET conflict = $4::bigint FROM instance o, root q, instance i WHERE c.study = $1::bigint"
        " AND c.idx = $2::bigint AND c.session = $3::bigint AND c.conflict IS NULL AND o.study = c.original_study"
        " AND o.idx = c.original_idx AND q.id = o.root AND i.study = $1::bigint AND i.idx = $2::bigint"
        " RETURNING q.path, o.path, i.size",
        Values().Int(comparison.study).Int(std::int64_t{comparison.index}).Int(session).Int(equal ? 0 : 1));
    if (compared.size() == 0) continue;
    const std::string original = PathAt(compared, 0, 0);
    const InstanceState state = equal ? InstanceState::kSkipped : InstanceState::kConflict;
    connection.Send(
        "UPDATE instance SET state = $1::bigint, reason = $2::text WHERE study = $3::bigint AND idx = $4::bigint",
        Values()
            .Int(static_cast<std::int64_t>(state))
            .Text(equal ? DuplicateReason(original) : ConflictReason(original, comparison.difference))
            .Int(comparison.study)
            .Int(std::int64_t{comparison.index}));
    const auto size = static_cast<std::uint64_t>(compared.Int(0, 2));
    Contribute(deltas[comparison.study], InstanceState::kSkipped, size, 0, true);
    Contribute(deltas[comparison.study], state, size, 0, false);
  }
  return deltas;
}

StudyDeltas PromoteCopies(PostgresqlConnection& connection, StudyKey study, std::vector<PromotedCopy>& promoted) {
  StudyDeltas deltas;
  for (const FailedOriginal& failed : FailedOriginals(connection, study)) {
    Promote(connection, study, failed, deltas, promoted);
  }
  return deltas;
}

}  // namespace dicom_sender
