#include "coordinator/ledger/postgresql/instances.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "coordinator/ledger/predicates.h"

namespace dicom_sender::postgresql {
namespace {

constexpr std::int64_t kStudiesPerChange = 1000;

// The changes must not contain an instance twice.
void ChangeDistinct(Store& store, std::span<const InstanceChange> changes, WallTime now,
                    std::map<StudyKey, Counts>& deltas) {
  static const std::string sql = fmt::format(
      "UPDATE instance i SET state = c.state, attempts = c.attempts, status = nullif(c.status, -1),"
      " reason = nullif(c.reason, ''), duration_us = c.duration_us, may_be_stored = c.may_be_stored,"
      " outcome_ms = CASE WHEN {} THEN $9::bigint END, reported_by = nullif(c.worker, 0)"
      " FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[],"
      " $8::bigint[], $10::bigint[], $11::bigint[], $12::bigint[])"
      " AS c(study, idx, state, attempts, status, reason, duration_us, may_be_stored, worker, state_before,"
      "   attempts_before)"
      " CROSS JOIN LATERAL (SELECT ctid AS version, state, attempts FROM instance"
      "   WHERE study = c.study AND idx = c.idx OFFSET 0) o"
      " WHERE i.ctid = o.version AND o.state = c.state_before AND o.attempts = c.attempts_before",
      StateIsSettled("c.state"));
  std::vector<std::int64_t> studies, indices, states, attempts, statuses, durations, may_be_stored, states_before,
      attempts_before;
  std::vector<std::string> reasons;
  for (const InstanceChange& change : changes) {
    studies.push_back(change.study);
    indices.push_back(std::int64_t{change.index});
    states.push_back(static_cast<std::int64_t>(change.state));
    attempts.push_back(std::int64_t{change.attempts});
    statuses.push_back(change.status ? std::int64_t{*change.status} : -1);
    reasons.push_back(EncodedText(change.reason));
    durations.push_back(std::int64_t{change.duration_us});
    may_be_stored.push_back(change.may_be_stored ? 1 : 0);
    states_before.push_back(static_cast<std::int64_t>(change.before.state));
    attempts_before.push_back(std::int64_t{change.before.attempts});
    Contribute(deltas[change.study], change);
  }
  const auto written = store.db().Query(sql, Values()
                                                 .Ints(studies)
                                                 .Ints(indices)
                                                 .Ints(states)
                                                 .Ints(attempts)
                                                 .Ints(statuses)
                                                 .Texts(reasons)
                                                 .Ints(durations)
                                                 .Ints(may_be_stored)
                                                 .Int(Milliseconds(now))
                                                 .Ints(store.WorkerIds(changes))
                                                 .Ints(states_before)
                                                 .Ints(attempts_before));
  if (written.affected() == changes.size()) return;
  throw LedgerError(fmt::format(
      "ledger '{}': an instance from {} {} to {} {} does not exist or has changed since it was read", store.name(),
      changes.front().study, changes.front().index, changes.back().study, changes.back().index));
}

// Returns the instances of each study that became pending.
std::vector<StudyFeed> RequeueStudies(Store& store, SessionKey session, const std::vector<StudyKey>& studies,
                                      const RequeueFilter& filter) {
  // In the collation "C", lower() changes only ASCII letters.
  static const std::string sql = fmt::format(
      "WITH changed AS (UPDATE instance i SET state = {}, attempts = 0, status = NULL, reason = NULL, duration_us = "
      "0,"
      " outcome_ms = NULL, reported_by = NULL FROM unnest($1::bigint[]) AS s(key) CROSS JOIN LATERAL"
      "   (SELECT ctid AS version FROM instance o WHERE o.study = s.key AND {} AND o.defect = 0"
      "   AND ($2::bigint IS NULL OR o.status = $2::bigint)"
      "   AND ($3::text IS NULL OR o.reported_by = (SELECT id FROM worker WHERE name = $3::text))"
      "   AND strpos(lower(coalesce(o.reason, '') COLLATE \"C\"), lower(coalesce($4::text, '') COLLATE \"C\")) > 0"
      "   OFFSET 0) o WHERE i.ctid = o.version RETURNING i.study, i.size)"
      " SELECT study, count(*), sum(size)::bigint FROM changed GROUP BY study ORDER BY study",
      Sql(InstanceState::kPending), StateIs(InstanceState::kFailed, "o.state"));
  const auto changed = store.db().Query(
      sql, Values().Ints(studies).Int(filter.status).TextOrNull(filter.worker).TextOrNull(filter.reason));
  std::vector<StudyFeed> changes;
  std::map<StudyKey, Counts> deltas;
  for (int row = 0; row < changed.size(); ++row) {
    const StudyFeed change{.study = changed.Int(row, 0),
                           .pending = static_cast<std::uint32_t>(changed.Int(row, 1)),
                           .pending_bytes = static_cast<std::uint64_t>(changed.Int(row, 2))};
    Contribute(deltas[change.study], InstanceState::kFailed, change.pending_bytes, 0, true, change.pending);
    changes.push_back(change);
  }
  store.AddToCountsIn(session, deltas);
  return changes;
}

std::optional<StudyKey> FindStudy(Store& store, SessionKey session, std::string_view uid) {
  const auto rows = store.db().Query("SELECT key FROM study WHERE session = $1::bigint AND uid = $2::text",
                                     Values().Int(session).Text(uid));
  return rows.size() > 0 ? std::optional(rows.Int(0, 0)) : std::nullopt;
}

}  // namespace

wire::Page LoadPage(Store& store, StudyKey study, LeaseId lease, std::uint32_t from_index, std::size_t limit) {
  wire::Page page;
  page.set_lease_id(lease);
  page.set_from_index(from_index);
  static const std::string sql = fmt::format(
      "SELECT i.idx, i.root, i.path, p.sop_class, p.transfer_syntax, i.sop_instance, i.data_offset, i.size, i.mtime,"
      " i.may_be_stored, r.path FROM (SELECT * FROM instance WHERE study = $1::bigint AND idx >= $2::bigint"
      "   AND {} ORDER BY idx LIMIT $3::bigint) i"
      " CROSS JOIN LATERAL (SELECT * FROM pair WHERE id = i.pair OFFSET 0) p"
      " CROSS JOIN LATERAL (SELECT path FROM root WHERE id = i.root OFFSET 0) r ORDER BY i.idx",
      StateIsUnsettled());
  // One more row than requested shows whether a next page exists.
  const auto rows = store.db().Query(
      sql, Values().Int(study).Int(std::int64_t{from_index}).Int(static_cast<std::int64_t>(limit + 1)));
  std::set<std::int64_t> roots;
  for (int row = 0; row < rows.size(); ++row) {
    const auto index = static_cast<std::uint32_t>(rows.Int(row, 0));
    if (static_cast<std::size_t>(row) == limit) {
      page.set_next_index(index);
      break;
    }
    const auto root = static_cast<std::uint32_t>(rows.Int(row, 1));
    auto* instance = page.add_instances();
    instance->set_index(index);
    instance->set_root(root);
    instance->set_path(std::string(rows.Bytes(row, 2)));
    instance->set_sop_class_uid(rows.Text(row, 3));
    instance->set_transfer_syntax_uid(rows.Text(row, 4));
    instance->set_sop_instance_uid(rows.Text(row, 5));
    instance->set_dataset_offset(static_cast<std::uint64_t>(rows.Int(row, 6)));
    instance->set_size_bytes(static_cast<std::uint64_t>(rows.Int(row, 7)));
    instance->set_mtime_ns(rows.Int(row, 8));
    instance->set_alone(rows.Int(row, 9) != 0);
    if (!roots.insert(root).second) continue;
    auto* added = page.add_roots();
    added->set_id(root);
    added->set_path(std::string(rows.Bytes(row, 10)));
  }
  return page;
}

std::vector<InstanceFacts> LoadInstances(Store& store, StudyKey study, std::span<const std::uint32_t> indices) {
  const auto rows = store.db().Query(
      "SELECT i.idx, i.state, i.attempts, i.may_be_stored, i.size, i.duration_us"
      " FROM unnest($2::bigint[]) WITH ORDINALITY AS a(idx, place)"
      " CROSS JOIN LATERAL (SELECT * FROM instance WHERE study = $1::bigint AND idx = a.idx OFFSET 0) i"
      " ORDER BY a.place",
      Values().Int(study).Ints(std::vector<std::int64_t>(indices.begin(), indices.end())));
  std::vector<InstanceFacts> facts;
  facts.reserve(indices.size());
  for (int row = 0; row < rows.size(); ++row) {
    facts.push_back({.index = static_cast<std::uint32_t>(rows.Int(row, 0)),
                     .state = static_cast<InstanceState>(rows.Int(row, 1)),
                     .attempts = static_cast<std::uint32_t>(rows.Int(row, 2)),
                     .may_be_stored = rows.Int(row, 3) != 0,
                     .size_bytes = static_cast<std::uint64_t>(rows.Int(row, 4)),
                     .duration_us = static_cast<std::uint32_t>(rows.Int(row, 5))});
  }
  return facts;
}

void ChangeInstances(Store& store, std::span<const InstanceChange> changes, WallTime now) {
  std::map<StudyKey, Counts> deltas;
  while (!changes.empty()) {
    std::set<std::pair<StudyKey, std::uint32_t>> distinct;
    std::size_t length = 0;
    while (length < changes.size() && distinct.emplace(changes[length].study, changes[length].index).second) ++length;
    ChangeDistinct(store, changes.first(length), now, deltas);
    changes = changes.subspan(length);
  }
  store.AddToCounts(deltas, now);
}

std::uint64_t FailStudy(Store& store, StudyKey study, std::string_view reason, WallTime now) {
  static const std::string sql = fmt::format(
      "WITH failed AS (UPDATE instance SET state = {}, status = NULL, reason = nullif($2::text, ''),"
      "   outcome_ms = $3::bigint WHERE study = $1::bigint AND {} RETURNING size)"
      " SELECT count(*), coalesce(sum(size), 0)::bigint FROM failed",
      Sql(InstanceState::kFailed), StateIsUnsettled());
  const auto failed = store.db().Query(sql, Values().Int(study).Text(reason).Int(Milliseconds(now)));
  const auto instances = static_cast<std::uint64_t>(failed.Int(0, 0));
  if (instances == 0) return 0;
  Counts delta;
  Contribute(delta, InstanceState::kFailed, static_cast<std::uint64_t>(failed.Int(0, 1)), 0, false, instances);
  store.AddToCounts({{study, delta}}, now);
  return instances;
}

std::vector<StudyFeed> Requeue(Store& store, SessionKey session, const RequeueFilter& filter) {
  if (filter.study_instance_uid) {
    const auto study = FindStudy(store, session, *filter.study_instance_uid);
    return study ? RequeueStudies(store, session, {*study}, filter) : std::vector<StudyFeed>();
  }
  static const std::string select =
      fmt::format("SELECT key FROM study WHERE {} AND {} ORDER BY session, key LIMIT $3::bigint", kAfter,
                  MayHave(InstanceState::kFailed));
  std::vector<StudyFeed> changes;
  for (StudyKey last = 0;;) {
    const auto found = store.db().Query(select, Values().Int(session).Int(last).Int(kStudiesPerChange));
    if (found.size() == 0) return changes;
    const std::vector<StudyKey> studies = FirstColumn(found);
    std::ranges::copy(RequeueStudies(store, session, studies, filter), std::back_inserter(changes));
    last = studies.back();
  }
}

}  // namespace dicom_sender::postgresql
