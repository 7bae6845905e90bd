#include "coordinator/ledger/postgresql/reports.h"

#include <fmt/format.h>

#include "coordinator/ledger/predicates.h"

namespace dicom_sender::postgresql {

std::vector<ReportedInstance> Report(Store& store, SessionKey session, std::span<const InstanceState> states,
                                     const InstanceCursor& after, std::size_t limit) {
  // The limits in the subqueries keep the server from reading more than one page.
  const std::string sql = fmt::format(
      "SELECT s.key, i.idx, r.path, i.path, s.uid, i.sop_instance, i.status, coalesce(i.reason, ''), i.attempts,"
      " coalesce((SELECT name FROM worker WHERE id = i.reported_by), ''), i.state"
      " FROM (SELECT session, key, uid FROM study WHERE {} AND {} ORDER BY session, key OFFSET 0) s"
      " CROSS JOIN LATERAL (SELECT * FROM instance WHERE study = s.key"
      "   AND idx > CASE WHEN s.key = $2::bigint THEN $3::bigint ELSE -1 END AND {} ORDER BY idx LIMIT $4::bigint) i"
      " CROSS JOIN LATERAL (SELECT path FROM root WHERE id = i.root OFFSET 0) r"
      " ORDER BY s.session, s.key, i.idx LIMIT $4::bigint",
      kFrom, MayHave(states), StateIn(states));
  const auto rows = store.db().Query(sql, Values()
                                              .Int(session)
                                              .Int(after.study)
                                              .Int(after.index ? std::int64_t{*after.index} : std::int64_t{-1})
                                              .Int(static_cast<std::int64_t>(limit)));
  std::vector<ReportedInstance> reported;
  for (int row = 0; row < rows.size(); ++row) {
    auto& instance = reported.emplace_back();
    instance.study = rows.Int(row, 0);
    instance.index = static_cast<std::uint32_t>(rows.Int(row, 1));
    instance.path = ReadPath(rows, row, 2);
    instance.study_instance_uid = rows.Text(row, 4);
    instance.sop_instance_uid = rows.Text(row, 5);
    if (!rows.IsNull(row, 6)) instance.status = static_cast<std::uint16_t>(rows.Int(row, 6));
    instance.reason = rows.Text(row, 7);
    instance.attempts = static_cast<std::uint32_t>(rows.Int(row, 8));
    instance.worker = rows.Text(row, 9);
    instance.state = static_cast<InstanceState>(rows.Int(row, 10));
  }
  return reported;
}

FailureReasons CountFailureReasons(Store& store, SessionKey session, std::size_t limit) {
  static const std::string sql = fmt::format(
      "SELECT coalesce(i.reason, '') COLLATE \"C\", count(*), count(*) OVER ()"
      " FROM (SELECT key FROM study WHERE session = $1::bigint AND {} OFFSET 0) s"
      " CROSS JOIN LATERAL (SELECT reason FROM instance WHERE study = s.key AND {} OFFSET 0) i"
      " GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT $2::bigint",
      MayHave(InstanceState::kFailed), StateIs(InstanceState::kFailed));
  const auto rows = store.db().Query(sql, Values().Int(session).Int(static_cast<std::int64_t>(limit)));
  FailureReasons reasons;
  for (int row = 0; row < rows.size(); ++row) {
    reasons.most_frequent.push_back({rows.Text(row, 0), static_cast<std::uint64_t>(rows.Int(row, 1))});
    reasons.distinct = static_cast<std::uint64_t>(rows.Int(row, 2));
  }
  return reasons;
}

WorkerCount Workers(Store& store, SessionKey session) {
  const auto row = store.db().Query(
      "SELECT count(*), coalesce(sum(threads), 0)::bigint FROM session_worker WHERE session = $1::bigint",
      Values().Int(session));
  return {.workers = static_cast<std::uint64_t>(row.Int(0, 0)), .threads = static_cast<std::uint64_t>(row.Int(0, 1))};
}

std::vector<PairCount> PairCounts(Store& store, SessionKey session) {
  static const std::string sql = fmt::format(
      "SELECT p.sop_class, p.transfer_syntax, c.instances FROM (SELECT i.pair, count(*) AS instances"
      "   FROM (SELECT key FROM study WHERE session = $1::bigint AND {} OFFSET 0) s CROSS JOIN LATERAL"
      "   (SELECT pair FROM instance WHERE study = s.key AND {} OFFSET 0) i GROUP BY i.pair OFFSET 0) c"
      " CROSS JOIN LATERAL (SELECT * FROM pair WHERE id = c.pair OFFSET 0) p ORDER BY c.pair",
      HasUnsettled(), StateIsUnsettled());
  const auto rows = store.db().Query(sql, Values().Int(session));
  std::vector<PairCount> counts;
  for (int row = 0; row < rows.size(); ++row) {
    PairCount& count = counts.emplace_back();
    count.pair.set_sop_class_uid(rows.Text(row, 0));
    count.pair.set_transfer_syntax_uid(rows.Text(row, 1));
    count.instances = static_cast<std::uint64_t>(rows.Int(row, 2));
  }
  return counts;
}

}  // namespace dicom_sender::postgresql
