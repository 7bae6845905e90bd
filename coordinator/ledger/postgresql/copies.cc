#include "coordinator/ledger/postgresql/copies.h"

#include <fmt/format.h>

#include "coordinator/ledger/copies.h"
#include "coordinator/ledger/hashes.h"
#include "coordinator/ledger/predicates.h"

namespace dicom_sender::postgresql {
namespace {

void SetState(Store& store, StudyKey study, std::int64_t index, InstanceState state, std::string_view reason) {
  store.db().Send(
      "UPDATE instance SET state = $1::bigint, reason = $2::text WHERE study = $3::bigint AND idx = $4::bigint",
      Values().Int(static_cast<std::int64_t>(state)).Text(reason).Int(study).Int(index));
}

void RecordComparison(Store& store, SessionKey session, const Comparison& comparison, StudyDeltas& deltas) {
  const std::int64_t conflict = comparison.difference.empty() ? 0 : 1;
  const auto compared = store.db().Query(
      "UPDATE copy c SET conflict = $4::bigint FROM instance o, root q, instance i WHERE c.study = $1::bigint"
      " AND c.idx = $2::bigint AND c.session = $3::bigint AND c.conflict IS NULL AND o.study = c.original_study"
      " AND o.idx = c.original_idx AND q.id = o.root AND i.study = $1::bigint AND i.idx = $2::bigint"
      " RETURNING q.path, o.path, i.size",
      Values().Int(comparison.study).Int(std::int64_t{comparison.index}).Int(session).Int(conflict));
  if (compared.size() == 0) return;
  const ComparedCopy copy =
      JudgeComparison(comparison, ReadPath(compared, 0, 0), static_cast<std::uint64_t>(compared.Int(0, 2)));
  SetState(store, comparison.study, comparison.index, copy.state, copy.reason);
  Add(deltas[comparison.study], copy.delta);
}

std::vector<FailedOriginal> FailedOriginals(Store& store, StudyKey study) {
  static const std::string sql = fmt::format(
      "SELECT i.idx, f.first_study, f.first_idx, f.differs FROM (SELECT DISTINCT original_idx AS idx,"
      "   original_study AS first_study, original_idx AS first_idx, 0 AS differs FROM copy"
      "   WHERE original_study = $1::bigint UNION ALL SELECT idx, original_study, original_idx, conflict FROM copy"
      "   WHERE study = $1::bigint AND promoted = 1 OFFSET 0) f CROSS JOIN LATERAL (SELECT * FROM instance"
      "   WHERE study = $1::bigint AND idx = f.idx OFFSET 0) i WHERE {} AND i.defect = 0 ORDER BY i.idx",
      StateIs(InstanceState::kFailed, "i.state"));
  const auto rows = store.db().Query(sql, Values().Int(study));
  std::vector<FailedOriginal> failed;
  failed.reserve(static_cast<std::size_t>(rows.size()));
  for (int row = 0; row < rows.size(); ++row) {
    failed.push_back({.index = static_cast<std::uint32_t>(rows.Int(row, 0)),
                      .first_study = rows.Int(row, 1),
                      .first_index = static_cast<std::uint32_t>(rows.Int(row, 2)),
                      .differs = rows.Int(row, 3) != 0});
  }
  return failed;
}

std::optional<WaitingCopy> NextCopy(Store& store, const FailedOriginal& failed) {
  const auto rows = store.db().Query(
      "SELECT c.study, c.idx, coalesce(c.conflict, 1), i.size, i.pair, i.sop_instance, r.path, i.path, c.session,"
      " i.state"
      " FROM (SELECT * FROM copy WHERE original_study = $1::bigint AND original_idx = $2::bigint AND promoted = 0"
      "   ORDER BY study, idx LIMIT 1) c CROSS JOIN LATERAL (SELECT * FROM instance WHERE study = c.study"
      "   AND idx = c.idx OFFSET 0) i CROSS JOIN LATERAL (SELECT path FROM root WHERE id = i.root OFFSET 0) r",
      Values().Int(failed.first_study).Int(failed.first_index));
  if (rows.size() == 0) return std::nullopt;
  return WaitingCopy{.copy = {.session = rows.Int(0, 8),
                              .feed = {.study = rows.Int(0, 0),
                                       .pending = 1,
                                       .pending_bytes = static_cast<std::uint64_t>(rows.Int(0, 3))},
                              .path = ReadPath(rows, 0, 6),
                              .failed_path = {}},
                     .index = rows.Int(0, 1),
                     .pair = rows.Int(0, 4),
                     .uid = rows.Text(0, 5),
                     .state = static_cast<InstanceState>(rows.Int(0, 9)),
                     .differs = rows.Int(0, 2) != 0};
}

void MakePending(Store& store, const WaitingCopy& copy, bool may_be_stored) {
  static const std::string sql = fmt::format(
      "UPDATE instance SET state = {}, reason = NULL, may_be_stored = $1::bigint WHERE study = $2::bigint"
      " AND idx = $3::bigint",
      Sql(InstanceState::kPending));
  const StudyKey study = copy.copy.feed.study;
  store.db().Send(
      "UPDATE copy SET promoted = 1, conflict = coalesce(conflict, 1) WHERE study = $1::bigint AND idx = $2::bigint",
      Values().Int(study).Int(copy.index));
  store.db().Send(sql, Values().Int(may_be_stored ? 1 : 0).Int(study).Int(copy.index));
  store.db().Send("INSERT INTO study_pair VALUES ($1::bigint, $2::bigint) ON CONFLICT DO NOTHING",
                  Values().Int(study).Int(copy.pair));
  // Later files with this SOP Instance UID are copies of this one.
  store.db().Send("INSERT INTO known VALUES ($1::bigint, $2::bigint, $3::bigint, $4::bigint) ON CONFLICT DO NOTHING",
                  Values().Int(copy.copy.session).Int(UidHash(copy.uid)).Int(study).Int(copy.index));
}

std::optional<PromotedCopy> Promote(Store& store, StudyKey study, const FailedOriginal& failed, StudyDeltas& deltas) {
  auto next = NextCopy(store, failed);
  if (!next) return std::nullopt;
  const auto rows = store.db().Query(
      "SELECT r.path, i.path, coalesce(i.reason, ''), i.size, i.may_be_stored FROM instance i"
      " JOIN root r ON r.id = i.root WHERE i.study = $1::bigint AND i.idx = $2::bigint",
      Values().Int(study).Int(failed.index));
  next->copy.failed_path = ReadPath(rows, 0, 0);
  const Failure failure{.reason = rows.Text(0, 2),
                        .bytes = static_cast<std::uint64_t>(rows.Int(0, 3)),
                        .differs = failed.differs || next->differs};
  const ReplacedOriginal original = JudgePromotion(failure, next->copy, next->state);
  SetState(store, study, failed.index, original.state, original.reason);
  MakePending(store, *next, rows.Int(0, 4) != 0);
  Add(deltas[study], original.delta);
  Add(deltas[next->copy.feed.study], original.copy_delta);
  return std::move(next->copy);
}

}  // namespace

void NewCopies::Add(const Intake::NewFile& file, const Original& original) {
  studies_.push_back(file.study);
  indices_.push_back(file.index);
  original_studies_.push_back(original.study);
  original_indices_.push_back(original.index);
}

void NewCopies::Send(Store& store, SessionKey session, std::string_view indexer) const {
  if (studies_.empty()) return;
  store.db().Send(
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

std::vector<UncomparedCopy> CopiesToCompare(Store& store, SessionKey session, std::string_view indexer,
                                            const InstanceCursor& after, std::size_t limit) {
  const auto rows = store.db().Query(
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
                      .path = ReadPath(rows, row, 2),
                      .original_path = ReadPath(rows, row, 4)});
  }
  return copies;
}

void RecordComparisons(Store& store, SessionKey session, std::span<const Comparison> comparisons) {
  StudyDeltas deltas;
  for (const Comparison& comparison : comparisons) RecordComparison(store, session, comparison, deltas);
  store.AddToCountsIn(session, deltas);
}

std::vector<PromotedCopy> PromoteCopies(Store& store, StudyKey study) {
  StudyDeltas deltas;
  std::vector<PromotedCopy> promoted;
  for (const FailedOriginal& failed : FailedOriginals(store, study)) {
    if (auto copy = Promote(store, study, failed, deltas)) promoted.push_back(*std::move(copy));
  }
  store.AddToCounts(deltas);
  return promoted;
}

}  // namespace dicom_sender::postgresql
