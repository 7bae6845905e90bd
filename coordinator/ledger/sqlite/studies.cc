#include "coordinator/ledger/sqlite/studies.h"

#include <fmt/format.h>

#include "coordinator/ledger/predicates.h"

namespace dicom_sender::sqlite {
namespace {

std::string StudySelect(const char* index) {
  const std::string counts = ForEachCount([](const std::string& name) { return "s." + name; });
  return "SELECT s.key, s.session, s.uid, s.lease, coalesce(l.worker, ''), s.page_end, s.suspect_end,"
         " s.first_lease_ms, s.last_outcome_ms, " +
         counts + " FROM study s " + index + " LEFT JOIN lease l ON l.id = s.lease ";
}

StudyRecord ReadStudy(SQLite::Statement& row) {
  StudyRecord record;
  record.key = row.getColumn(0).getInt64();
  record.session = row.getColumn(1).getInt64();
  record.uid = row.getColumn(2).getString();
  record.lease = static_cast<LeaseId>(row.getColumn(3).getInt64());
  record.lease_worker = row.getColumn(4).getString();
  record.page_end = row.getColumn(5).getUInt();
  record.suspect_end = row.getColumn(6).getUInt();
  record.first_lease_time = ReadTime(row, 7);
  record.last_outcome_time = ReadTime(row, 8);
  record.counts = ReadCounts(row, 9);
  record.unsettled_bytes = record.counts.total_bytes - record.counts.settled_bytes;
  return record;
}

std::vector<StudyRecord> ReadStudies(SQLite::Statement& rows) {
  std::vector<StudyRecord> records;
  while (rows.executeStep()) records.push_back(ReadStudy(rows));
  return records;
}

}  // namespace

StudyRecord LoadStudy(Store& store, StudyKey study) {
  static const std::string sql = StudySelect("") + "WHERE s.key = ?";
  auto& row = store.db().Query(sql, study);
  if (!row.executeStep()) throw LedgerError(fmt::format("ledger '{}': study {} does not exist", store.file(), study));
  StudyRecord record = ReadStudy(row);
  row.reset();
  return record;
}

std::vector<StudyRecord> Studies(Store& store, SessionKey session, StudyKey after, std::size_t limit) {
  static const std::string sql =
      StudySelect("INDEXED BY study_by_session") + "WHERE s.session = ? AND s.key > ? ORDER BY s.key LIMIT ?";
  return ReadStudies(store.db().Query(sql, session, after, static_cast<std::int64_t>(limit)));
}

std::vector<StudyFeed> UnsettledStudies(Store& store, SessionKey session, StudyKey after, std::size_t limit) {
  static const std::string sql = fmt::format(
      "SELECT key, {}, total_bytes - settled_bytes FROM study INDEXED BY study_by_session"
      " WHERE session = ? AND key > ? AND {} ORDER BY key LIMIT ?",
      UnsettledInstances(), HasUnsettled());
  std::vector<StudyFeed> studies;
  auto& rows = store.db().Query(sql, session, after, static_cast<std::int64_t>(limit));
  while (rows.executeStep()) {
    studies.push_back({.study = rows.getColumn(0).getInt64(),
                       .pending = rows.getColumn(1).getUInt(),
                       .pending_bytes = static_cast<std::uint64_t>(rows.getColumn(2).getInt64())});
  }
  return studies;
}

std::vector<StudyRecord> LeasedStudies(Store& store, SessionKey session) {
  static const std::string sql =
      StudySelect("INDEXED BY study_leased") + "WHERE s.session = ? AND s.lease > 0 ORDER BY s.key";
  return ReadStudies(store.db().Query(sql, session));
}

std::vector<wire::ContextPair> ContextPairs(Store& store, StudyKey study, std::size_t limit) {
  std::vector<wire::ContextPair> pairs;
  auto& rows = store.db().Query(
      "SELECT p.sop_class, p.transfer_syntax FROM study_pair sp JOIN pair p ON p.id = sp.pair WHERE sp.study = ?"
      " ORDER BY sp.pair LIMIT ?",
      study, static_cast<std::int64_t>(limit));
  while (rows.executeStep()) {
    auto& pair = pairs.emplace_back();
    pair.set_sop_class_uid(rows.getColumn(0).getString());
    pair.set_transfer_syntax_uid(rows.getColumn(1).getString());
  }
  return pairs;
}

}  // namespace dicom_sender::sqlite
