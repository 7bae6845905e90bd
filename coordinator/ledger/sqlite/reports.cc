#include "coordinator/ledger/sqlite/reports.h"

#include <fmt/format.h>

#include "coordinator/ledger/predicates.h"

namespace dicom_sender::sqlite {

std::vector<ReportedInstance> Report(Store& store, SessionKey session, std::span<const InstanceState> states,
                                     const InstanceCursor& after, std::size_t limit) {
  // The join order is fixed, so that a page starts at the cursor and SQLite does not have to sort.
  const std::string sql = fmt::format(
      "SELECT i.study, i.idx, r.path, i.path, s.uid, i.sop_instance, i.status, coalesce(i.reason, ''), i.attempts,"
      " coalesce(w.name, ''), i.state FROM study s INDEXED BY study_by_session"
      " CROSS JOIN instance i ON i.study = s.key CROSS JOIN root r ON r.id = i.root"
      " LEFT JOIN worker w ON w.id = i.reported_by WHERE s.session = ?1 AND s.key >= ?2 AND {}"
      " AND i.idx > CASE WHEN s.key = ?2 THEN ?3 ELSE -1 END AND {} ORDER BY s.key, i.idx LIMIT ?4",
      MayHave(states, "s."), StateIn(states, "i.state"));
  auto& rows =
      store.db().Query(sql, session, after.study, after.index ? std::int64_t{*after.index} : std::int64_t{-1},
                       static_cast<std::int64_t>(limit));
  std::vector<ReportedInstance> reported;
  while (rows.executeStep()) {
    auto& instance = reported.emplace_back();
    instance.study = rows.getColumn(0).getInt64();
    instance.index = rows.getColumn(1).getUInt();
    instance.path = ReadPath(rows, 2);
    instance.study_instance_uid = rows.getColumn(4).getString();
    instance.sop_instance_uid = rows.getColumn(5).getString();
    if (!rows.getColumn(6).isNull()) instance.status = static_cast<std::uint16_t>(rows.getColumn(6).getInt());
    instance.reason = rows.getColumn(7).getString();
    instance.attempts = rows.getColumn(8).getUInt();
    instance.worker = rows.getColumn(9).getString();
    instance.state = static_cast<InstanceState>(rows.getColumn(10).getInt());
  }
  return reported;
}

FailureReasons CountFailureReasons(Store& store, SessionKey session, std::size_t limit) {
  FailureReasons reasons;
  static const std::string sql = fmt::format(
      "SELECT coalesce(i.reason, ''), count(*), count(*) OVER () FROM study s INDEXED BY study_by_session"
      " CROSS JOIN instance i ON i.study = s.key"
      " WHERE s.session = ? AND {} AND {} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?",
      MayHave(InstanceState::kFailed, "s."), StateIs(InstanceState::kFailed, "i.state"));
  auto& rows = store.db().Query(sql, session, static_cast<std::int64_t>(limit));
  while (rows.executeStep()) {
    reasons.most_frequent.push_back(
        {rows.getColumn(0).getString(), static_cast<std::uint64_t>(rows.getColumn(1).getInt64())});
    reasons.distinct = static_cast<std::uint64_t>(rows.getColumn(2).getInt64());
  }
  return reasons;
}

WorkerCount Workers(Store& store, SessionKey session) {
  auto& row =
      store.db().Query("SELECT count(*), coalesce(sum(threads), 0) FROM session_worker WHERE session = ?", session);
  row.executeStep();
  const WorkerCount count{.workers = static_cast<std::uint64_t>(row.getColumn(0).getInt64()),
                          .threads = static_cast<std::uint64_t>(row.getColumn(1).getInt64())};
  row.reset();
  return count;
}

std::vector<PairCount> PairCounts(Store& store, SessionKey session) {
  static const std::string sql = fmt::format(
      "SELECT p.sop_class, p.transfer_syntax, count(*) FROM instance i JOIN pair p ON p.id = i.pair"
      " WHERE i.study IN (SELECT key FROM study WHERE session = ?) AND {} GROUP BY p.id ORDER BY p.id",
      StateIsUnsettled("i.state"));
  auto& rows = store.db().Query(sql, session);
  std::vector<PairCount> counts;
  while (rows.executeStep()) {
    PairCount& count = counts.emplace_back();
    count.pair.set_sop_class_uid(rows.getColumn(0).getString());
    count.pair.set_transfer_syntax_uid(rows.getColumn(1).getString());
    count.instances = static_cast<std::uint64_t>(rows.getColumn(2).getInt64());
  }
  return counts;
}

}  // namespace dicom_sender::sqlite
