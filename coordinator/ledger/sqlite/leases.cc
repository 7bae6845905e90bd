#include "coordinator/ledger/sqlite/leases.h"

#include <fmt/format.h>

#include <algorithm>

#include "coordinator/ledger/predicates.h"

namespace dicom_sender::sqlite {
namespace {

// Counts the suspect instances that were handed out again under the current lease and were not reported.
std::uint64_t CountUnreportedResends(Store& store, StudyKey study) {
  static const std::string sql = fmt::format(
      "SELECT count(*) FROM study s CROSS JOIN instance i ON i.study = s.key WHERE s.key = ? AND i.idx < s.page_end"
      " AND (i.idx < s.suspect_end OR i.may_be_stored) AND {}",
      StateIsUnsettled("i.state"));
  auto& row = store.db().Query(sql, study);
  row.executeStep();
  const auto resends = static_cast<std::uint64_t>(row.getColumn(0).getInt64());
  row.reset();
  return resends;
}

}  // namespace

LeaseId LastLeaseId(Store& store) {
  auto& row = store.db().Query("SELECT coalesce(max(id), 0) FROM lease");
  row.executeStep();
  const auto last = static_cast<LeaseId>(row.getColumn(0).getInt64());
  row.reset();
  return last;
}

std::optional<LeaseRecord> FindLease(Store& store, LeaseId lease) {
  auto& row = store.db().Query(
      "SELECT l.study, s.suspect_end, l.last_report_seq, l.associations, s.session, l.worker, l.identity"
      " FROM lease l JOIN study s ON s.key = l.study WHERE l.id = ?",
      static_cast<std::int64_t>(lease));
  if (!row.executeStep()) return std::nullopt;
  LeaseRecord record{.id = lease,
                     .session = row.getColumn(4).getInt64(),
                     .study = row.getColumn(0).getInt64(),
                     .worker = row.getColumn(5).getString(),
                     .identity = row.getColumn(6).getString(),
                     .suspect_end = row.getColumn(1).getUInt(),
                     .last_report_seq = static_cast<std::uint64_t>(row.getColumn(2).getInt64()),
                     .associations = row.getColumn(3).getUInt()};
  row.reset();
  return record;
}

void GrantLease(Store& store, StudyKey study, LeaseId lease, std::string_view worker, std::string_view identity,
                std::uint32_t worker_capacity, WallTime now) {
  const auto id = static_cast<std::int64_t>(lease);
  store.db().Execute("INSERT INTO lease (id, study, worker, identity) VALUES (?, ?, ?, ?)", id, study, worker,
                     identity);
  store.db().Execute(
      "UPDATE study SET lease = ?, page_end = 0, first_lease_ms = coalesce(first_lease_ms, ?) WHERE key = ?", id,
      Milliseconds(now), study);
  store.db().Execute(
      "INSERT INTO session_worker VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET threads = excluded.threads"
      " WHERE threads < excluded.threads",
      store.SessionOf(study), worker, std::int64_t{worker_capacity});
}

std::uint64_t EndLease(Store& store, StudyKey study, bool clean) {
  Counts delta;
  if (!clean) delta.resends = CountUnreportedResends(store, study);
  if (delta.resends > 0) store.AddToCounts(study, delta);
  store.db().Execute(
      "UPDATE study SET lease = 0, suspect_end = CASE WHEN ? THEN suspect_end ELSE max(suspect_end, page_end) END"
      " WHERE key = ?",
      std::int64_t{clean}, study);
  return delta.resends;
}

void RecordReport(Store& store, const LeaseRecord& lease, std::uint64_t seq, std::uint32_t associations) {
  const std::uint32_t opened = std::max(lease.associations, associations);
  store.db().Execute("UPDATE lease SET last_report_seq = ?, associations = ? WHERE id = ?",
                     static_cast<std::int64_t>(seq), std::int64_t{opened}, static_cast<std::int64_t>(lease.id));
  if (opened == lease.associations) return;
  Counts delta;
  delta.associations = opened - lease.associations;
  store.AddToCounts(lease.study, delta);
}

void SetPageEnd(Store& store, StudyKey study, std::uint32_t page_end) {
  store.db().Execute("UPDATE study SET page_end = max(page_end, ?) WHERE key = ?", std::int64_t{page_end}, study);
}

}  // namespace dicom_sender::sqlite
