#include "coordinator/ledger/sqlite/copies.h"

#include <fmt/format.h>

#include "coordinator/ledger/copies.h"
#include "coordinator/ledger/hashes.h"
#include "coordinator/ledger/predicates.h"

namespace dicom_sender::sqlite {
namespace {

void RecordComparison(Store& store, SessionKey session, const Comparison& comparison) {
  auto& row = store.db().Query(
      "SELECT q.path, o.path, i.size FROM copy c JOIN instance i ON i.study = c.study AND i.idx = c.idx"
      " JOIN instance o ON o.study = c.original_study AND o.idx = c.original_idx JOIN root q ON q.id = o.root"
      " WHERE c.study = ? AND c.idx = ? AND c.session = ? AND c.conflict IS NULL",
      comparison.study, std::int64_t{comparison.index}, session);
  if (!row.executeStep()) return;
  const std::string original = ReadPath(row, 0);
  const auto bytes = static_cast<std::uint64_t>(row.getColumn(2).getInt64());
  row.reset();
  const ComparedCopy copy = JudgeComparison(comparison, original, bytes);
  store.db().Execute("UPDATE copy SET conflict = ? WHERE study = ? AND idx = ?",
                     std::int64_t{copy.state == InstanceState::kConflict}, comparison.study,
                     std::int64_t{comparison.index});
  store.db().Execute("UPDATE instance SET state = ?, reason = ? WHERE study = ? AND idx = ?",
                     static_cast<std::int64_t>(copy.state), copy.reason, comparison.study,
                     std::int64_t{comparison.index});
  store.AddToCounts(comparison.study, copy.delta);
}

std::vector<FailedOriginal> FailedOriginals(Store& store, StudyKey study) {
  static const std::string sql = fmt::format(
      "SELECT i.idx, f.first_study, f.first_idx, f.differs FROM (SELECT DISTINCT original_idx AS idx,"
      "   original_study AS first_study, original_idx AS first_idx, 0 AS differs FROM copy WHERE original_study = ?1"
      "   UNION ALL SELECT idx, original_study, original_idx, conflict FROM copy WHERE study = ?1 AND promoted) f"
      " CROSS JOIN instance i ON i.study = ?1 AND i.idx = f.idx WHERE {} AND i.defect = 0 ORDER BY i.idx",
      StateIs(InstanceState::kFailed, "i.state"));
  std::vector<FailedOriginal> failed;
  auto& rows = store.db().Query(sql, study);
  while (rows.executeStep()) {
    failed.push_back({.index = rows.getColumn(0).getUInt(),
                      .first_study = rows.getColumn(1).getInt64(),
                      .first_index = rows.getColumn(2).getUInt(),
                      .differs = rows.getColumn(3).getInt() != 0});
  }
  rows.reset();
  return failed;
}

std::optional<WaitingCopy> NextCopy(Store& store, const FailedOriginal& failed) {
  auto& row = store.db().Query(
      "SELECT c.study, c.idx, coalesce(c.conflict, 1), i.size, i.pair, i.sop_instance, r.path, i.path, c.session,"
      " i.state FROM copy c JOIN instance i ON i.study = c.study AND i.idx = c.idx JOIN root r ON r.id = i.root"
      " WHERE c.original_study = ? AND c.original_idx = ? AND c.promoted = 0 ORDER BY c.study, c.idx LIMIT 1",
      failed.first_study, std::int64_t{failed.first_index});
  if (!row.executeStep()) return std::nullopt;
  WaitingCopy next{.copy = {.session = row.getColumn(8).getInt64(),
                            .feed = {.study = row.getColumn(0).getInt64(),
                                     .pending = 1,
                                     .pending_bytes = static_cast<std::uint64_t>(row.getColumn(3).getInt64())},
                            .path = ReadPath(row, 6),
                            .failed_path = {}},
                   .index = row.getColumn(1).getInt64(),
                   .pair = row.getColumn(4).getInt64(),
                   .uid = row.getColumn(5).getString(),
                   .state = static_cast<InstanceState>(row.getColumn(9).getInt()),
                   .differs = row.getColumn(2).getInt() != 0};
  row.reset();
  return next;
}

void MakePending(Store& store, const WaitingCopy& copy, bool may_be_stored) {
  static const std::string sql =
      fmt::format("UPDATE instance SET state = {}, reason = NULL, may_be_stored = ? WHERE study = ? AND idx = ?",
                  Sql(InstanceState::kPending));
  const StudyKey study = copy.copy.feed.study;
  store.db().Execute("UPDATE copy SET promoted = 1, conflict = coalesce(conflict, 1) WHERE study = ? AND idx = ?",
                     study, copy.index);
  store.db().Execute(sql, std::int64_t{may_be_stored}, study, copy.index);
  store.db().Execute("INSERT OR IGNORE INTO study_pair VALUES (?, ?)", study, copy.pair);
  // Later files with this SOP Instance UID are copies of this one.
  store.db().Execute("INSERT OR IGNORE INTO known VALUES (?, ?, ?, ?)", copy.copy.session, UidHash(copy.uid), study,
                     copy.index);
}

std::optional<PromotedCopy> Promote(Store& store, StudyKey study, const FailedOriginal& failed) {
  auto next = NextCopy(store, failed);
  if (!next) return std::nullopt;
  auto& row = store.db().Query(
      "SELECT r.path, i.path, coalesce(i.reason, ''), i.size, i.may_be_stored FROM instance i"
      " JOIN root r ON r.id = i.root WHERE i.study = ? AND i.idx = ?",
      study, std::int64_t{failed.index});
  row.executeStep();
  next->copy.failed_path = ReadPath(row, 0);
  const Failure failure{.reason = row.getColumn(2).getString(),
                        .bytes = static_cast<std::uint64_t>(row.getColumn(3).getInt64()),
                        .differs = failed.differs || next->differs};
  const bool may_be_stored = row.getColumn(4).getInt() != 0;
  row.reset();
  const ReplacedOriginal original = JudgePromotion(failure, next->copy, next->state);
  store.db().Execute("UPDATE instance SET state = ?, reason = ? WHERE study = ? AND idx = ?",
                     static_cast<std::int64_t>(original.state), original.reason, study, std::int64_t{failed.index});
  MakePending(store, *next, may_be_stored);
  store.AddToCounts(study, original.delta);
  store.AddToCounts(next->copy.feed.study, original.copy_delta);
  return std::move(next->copy);
}

}  // namespace

void AddCopy(Store& store, SessionKey session, std::string_view indexer, const Intake::NewFile& file,
             const Original& original) {
  store.db().Execute(
      "INSERT INTO copy (study, idx, session, original_study, original_idx, indexer)"
      " SELECT ?, ?, ?, coalesce(c.original_study, o.study), coalesce(c.original_idx, o.idx), ?"
      " FROM (SELECT ? AS study, ? AS idx) o LEFT JOIN copy c ON c.study = o.study AND c.idx = o.idx",
      file.study, std::int64_t{file.index}, session, IndexerHash(indexer), original.study,
      std::int64_t{original.index});
}

std::vector<UncomparedCopy> CopiesToCompare(Store& store, SessionKey session, std::string_view indexer,
                                            const InstanceCursor& after, std::size_t limit) {
  std::vector<UncomparedCopy> copies;
  auto& rows = store.db().Query(
      "SELECT c.study, c.idx, r.path, i.path, q.path, o.path FROM copy c INDEXED BY copy_uncompared"
      " JOIN instance i ON i.study = c.study AND i.idx = c.idx JOIN root r ON r.id = i.root"
      " JOIN instance o ON o.study = c.original_study AND o.idx = c.original_idx JOIN root q ON q.id = o.root"
      " WHERE c.session = ? AND c.conflict IS NULL AND (c.study, c.idx) > (?, ?) AND c.indexer = ?"
      " ORDER BY c.study, c.idx LIMIT ?",
      session, after.study, after.index ? std::int64_t{*after.index} : std::int64_t{-1}, IndexerHash(indexer),
      static_cast<std::int64_t>(limit));
  while (rows.executeStep()) {
    copies.push_back({.study = rows.getColumn(0).getInt64(),
                      .index = rows.getColumn(1).getUInt(),
                      .path = ReadPath(rows, 2),
                      .original_path = ReadPath(rows, 4)});
  }
  rows.reset();
  return copies;
}

void RecordComparisons(Store& store, SessionKey session, std::span<const Comparison> comparisons) {
  for (const Comparison& comparison : comparisons) RecordComparison(store, session, comparison);
}

std::vector<PromotedCopy> PromoteCopies(Store& store, StudyKey study) {
  std::vector<PromotedCopy> promoted;
  for (const FailedOriginal& failed : FailedOriginals(store, study)) {
    if (auto copy = Promote(store, study, failed)) promoted.push_back(*std::move(copy));
  }
  return promoted;
}

}  // namespace dicom_sender::sqlite
