#include "coordinator/ledger/postgresql/studies.h"

#include <fmt/format.h>

#include "coordinator/ledger/predicates.h"

namespace dicom_sender::postgresql {
namespace {

std::string StudySelect() {
  const std::string counts = ForEachCount([](const std::string& name) { return "s." + name; });
  return "SELECT s.key, s.session, s.uid, s.lease, coalesce(l.worker, ''), s.page_end, s.suspect_end,"
         " s.first_lease_ms, s.last_outcome_ms, " +
         counts + " FROM study s LEFT JOIN lease l ON l.id = s.lease ";
}

StudyRecord ReadStudy(Store& store, const PostgresqlRows& rows, int row) {
  StudyRecord record;
  record.key = rows.Int(row, 0);
  record.session = rows.Int(row, 1);
  record.uid = rows.Text(row, 2);
  record.lease = static_cast<LeaseId>(rows.Int(row, 3));
  record.lease_worker = rows.Text(row, 4);
  record.page_end = static_cast<std::uint32_t>(rows.Int(row, 5));
  record.suspect_end = static_cast<std::uint32_t>(rows.Int(row, 6));
  record.first_lease_time = ReadTime(rows, row, 7);
  record.last_outcome_time = ReadTime(rows, row, 8);
  record.counts = ReadCounts(rows, row, 9);
  record.unsettled_bytes = record.counts.total_bytes - record.counts.settled_bytes;
  store.Remember(record.key, record.session);
  return record;
}

std::vector<StudyRecord> ReadStudies(Store& store, const PostgresqlRows& rows) {
  std::vector<StudyRecord> records;
  records.reserve(static_cast<std::size_t>(rows.size()));
  for (int row = 0; row < rows.size(); ++row) records.push_back(ReadStudy(store, rows, row));
  return records;
}

}  // namespace

StudyRecord LoadStudy(Store& store, StudyKey study) {
  static const std::string sql = StudySelect() + "WHERE s.key = $1::bigint";
  const auto rows = store.db().Query(sql, Values().Int(study));
  if (rows.size() == 0) throw LedgerError(fmt::format("ledger '{}': study {} does not exist", store.name(), study));
  return ReadStudy(store, rows, 0);
}

std::vector<StudyRecord> Studies(Store& store, SessionKey session, StudyKey after, std::size_t limit) {
  static const std::string sql = StudySelect() + "WHERE " + kAfter + " ORDER BY s.session, s.key LIMIT $3::bigint";
  return ReadStudies(store,
                     store.db().Query(sql, Values().Int(session).Int(after).Int(static_cast<std::int64_t>(limit))));
}

std::vector<StudyFeed> UnsettledStudies(Store& store, SessionKey session, StudyKey after, std::size_t limit) {
  static const std::string sql = fmt::format(
      "SELECT key, {}, total_bytes - settled_bytes FROM study WHERE {} AND {} ORDER BY session, key LIMIT $3::bigint",
      UnsettledInstances(), kAfter, HasUnsettled());
  const auto rows = store.db().Query(sql, Values().Int(session).Int(after).Int(static_cast<std::int64_t>(limit)));
  std::vector<StudyFeed> studies;
  for (int row = 0; row < rows.size(); ++row) {
    store.Remember(rows.Int(row, 0), session);
    studies.push_back({.study = rows.Int(row, 0),
                       .pending = static_cast<std::uint32_t>(rows.Int(row, 1)),
                       .pending_bytes = static_cast<std::uint64_t>(rows.Int(row, 2))});
  }
  return studies;
}

std::vector<StudyRecord> LeasedStudies(Store& store, SessionKey session) {
  static const std::string sql = StudySelect() + "WHERE s.session = $1::bigint AND s.lease > 0 ORDER BY s.key";
  return ReadStudies(store, store.db().Query(sql, Values().Int(session)));
}

std::vector<wire::ContextPair> ContextPairs(Store& store, StudyKey study, std::size_t limit) {
  const auto rows = store.db().Query(
      "SELECT p.sop_class, p.transfer_syntax FROM (SELECT pair FROM study_pair WHERE study = $1::bigint"
      "   ORDER BY pair LIMIT $2::bigint) sp CROSS JOIN LATERAL (SELECT * FROM pair WHERE id = sp.pair OFFSET 0) p"
      " ORDER BY sp.pair",
      Values().Int(study).Int(static_cast<std::int64_t>(limit)));
  std::vector<wire::ContextPair> pairs;
  for (int row = 0; row < rows.size(); ++row) {
    auto& pair = pairs.emplace_back();
    pair.set_sop_class_uid(rows.Text(row, 0));
    pair.set_transfer_syntax_uid(rows.Text(row, 1));
  }
  return pairs;
}

}  // namespace dicom_sender::postgresql
