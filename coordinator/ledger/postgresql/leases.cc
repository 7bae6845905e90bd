#include "coordinator/ledger/postgresql/leases.h"

#include <fmt/format.h>

#include <algorithm>

#include "coordinator/ledger/predicates.h"

namespace dicom_sender::postgresql {
namespace {

// Counts the suspect instances that were handed out again under the current lease and were not reported.
std::uint64_t CountUnreportedResends(Store& store, StudyKey study) {
  static const std::string sql = fmt::format(
      "SELECT count(*) FROM study s JOIN instance i ON i.study = s.key WHERE s.key = $1::bigint"
      " AND i.idx < s.page_end AND (i.idx < s.suspect_end OR i.may_be_stored = 1) AND {}",
      StateIsUnsettled("i.state"));
  return static_cast<std::uint64_t>(store.db().Query(sql, Values().Int(study)).Int(0, 0));
}

}  // namespace

LeaseId LastLeaseId(Store& store) {
  return static_cast<LeaseId>(store.db().Query("SELECT coalesce(max(id), 0) FROM lease").Int(0, 0));
}

std::optional<LeaseRecord> FindLease(Store& store, LeaseId lease) {
  const auto rows = store.db().Query(
      "SELECT l.study, s.suspect_end, l.last_report_seq, l.associations, s.session, l.worker, l.identity"
      " FROM lease l JOIN study s ON s.key = l.study WHERE l.id = $1::bigint",
      Values().Int(static_cast<std::int64_t>(lease)));
  if (rows.size() == 0) return std::nullopt;
  store.Remember(rows.Int(0, 0), rows.Int(0, 4));
  return LeaseRecord{.id = lease,
                     .session = rows.Int(0, 4),
                     .study = rows.Int(0, 0),
                     .worker = rows.Text(0, 5),
                     .identity = rows.Text(0, 6),
                     .suspect_end = static_cast<std::uint32_t>(rows.Int(0, 1)),
                     .last_report_seq = static_cast<std::uint64_t>(rows.Int(0, 2)),
                     .associations = static_cast<std::uint32_t>(rows.Int(0, 3))};
}

void GrantLease(Store& store, StudyKey study, LeaseId lease, std::string_view worker, std::string_view identity,
                std::uint32_t worker_capacity, WallTime now) {
  const auto id = static_cast<std::int64_t>(lease);
  store.db().Send(
      "INSERT INTO lease (id, study, worker, identity) VALUES ($1::bigint, $2::bigint, $3::text, $4::text)",
      Values().Int(id).Int(study).Text(worker).Text(identity));
  store.db().Send(
      "UPDATE study SET lease = $1::bigint, page_end = 0, first_lease_ms = coalesce(first_lease_ms, $2::bigint)"
      " WHERE key = $3::bigint",
      Values().Int(id).Int(Milliseconds(now)).Int(study));
  store.db().Send(
      "INSERT INTO session_worker AS w (session, worker, threads)"
      " SELECT session, $2::text, $3::bigint FROM study WHERE key = $1::bigint"
      " ON CONFLICT (session, worker) DO UPDATE SET threads = excluded.threads WHERE w.threads < excluded.threads",
      Values().Int(study).Text(worker).Int(std::int64_t{worker_capacity}));
}

std::uint64_t EndLease(Store& store, StudyKey study, bool clean) {
  Counts delta;
  if (!clean) delta.resends = CountUnreportedResends(store, study);
  if (delta.resends > 0) store.AddToCounts({{study, delta}});
  store.db().Send(
      clean ? "UPDATE study SET lease = 0 WHERE key = $1::bigint"
            : "UPDATE study SET lease = 0, suspect_end = greatest(suspect_end, page_end) WHERE key = $1::bigint",
      Values().Int(study));
  return delta.resends;
}

void RecordReport(Store& store, const LeaseRecord& lease, std::uint64_t seq, std::uint32_t associations) {
  const std::uint32_t opened = std::max(lease.associations, associations);
  store.db().Send("UPDATE lease SET last_report_seq = $1::bigint, associations = $2::bigint WHERE id = $3::bigint",
                  Values()
                      .Int(static_cast<std::int64_t>(seq))
                      .Int(std::int64_t{opened})
                      .Int(static_cast<std::int64_t>(lease.id)));
  if (opened == lease.associations) return;
  Counts delta;
  delta.associations = opened - lease.associations;
  store.AddToCountsIn(lease.session, {{lease.study, delta}});
}

void SetPageEnd(Store& store, StudyKey study, std::uint32_t page_end) {
  store.db().Send("UPDATE study SET page_end = greatest(page_end, $1::bigint) WHERE key = $2::bigint",
                  Values().Int(std::int64_t{page_end}).Int(study));
}

}  // namespace dicom_sender::postgresql
