#include "coordinator/ledger/sqlite/instances.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include "coordinator/ledger/predicates.h"

namespace dicom_sender::sqlite {
namespace {

constexpr std::int64_t kStudiesPerRead = 1000;

// The conditions of a RequeueFilter that apply to the instances of a study.
struct RequeueChoice {
  std::optional<std::int64_t> status;
  std::optional<std::int64_t> worker;  // its id
  std::optional<std::string> reason;
};

wire::ContextPair LoadPair(Store& store, std::int64_t id) {
  wire::ContextPair pair;
  auto& row = store.db().Query("SELECT sop_class, transfer_syntax FROM pair WHERE id = ?", id);
  if (!row.executeStep()) throw LedgerError(fmt::format("ledger '{}': pair {} does not exist", store.file(), id));
  pair.set_sop_class_uid(row.getColumn(0).getString());
  pair.set_transfer_syntax_uid(row.getColumn(1).getString());
  row.reset();
  return pair;
}

std::string RootPath(Store& store, std::int64_t id) {
  auto& row = store.db().Query("SELECT path FROM root WHERE id = ?", id);
  if (!row.executeStep()) throw LedgerError(fmt::format("ledger '{}': root {} does not exist", store.file(), id));
  std::string path = row.getColumn(0).getString();
  row.reset();
  return path;
}

// Returns how many indices at the front are consecutive. One statement reads all of them, and most reports are a
// single run.
std::size_t RunLength(std::span<const std::uint32_t> indices) {
  std::size_t length = 1;
  while (length < indices.size() && indices[length] == indices[length - 1] + 1) ++length;
  return length;
}

void WriteInstance(Store& store, const InstanceChange& change, WallTime now) {
  constexpr std::int64_t kNone = -1;
  store.db().Execute(
      "UPDATE instance SET state = ?, attempts = ?, status = nullif(?, -1), reason = nullif(?, ''), duration_us = ?,"
      " may_be_stored = ?, outcome_ms = nullif(?, -1), reported_by = ?"
      " WHERE study = ? AND idx = ? AND state = ? AND attempts = ?",
      static_cast<std::int64_t>(change.state), std::int64_t{change.attempts},
      change.status ? std::int64_t{*change.status} : kNone, change.reason, std::int64_t{change.duration_us},
      std::int64_t{change.may_be_stored}, IsSettled(change.state) ? Milliseconds(now) : kNone,
      store.WorkerId(change.worker), change.study, std::int64_t{change.index},
      static_cast<std::int64_t>(change.before.state), std::int64_t{change.before.attempts});
  if (store.db().ChangedRows() == 1) return;
  throw LedgerError(
      fmt::format("ledger '{}': instance {} of study {} does not exist or has changed since it was read",
                  store.file(), change.index, change.study));
}

std::vector<StudyKey> FailedStudies(Store& store, SessionKey session, const std::optional<std::string>& uid,
                                    StudyKey after) {
  std::vector<StudyKey> keys;
  const auto read = [&keys](SQLite::Statement& rows) {
    while (rows.executeStep()) keys.push_back(rows.getColumn(0).getInt64());
  };
  static const std::string failed = MayHave(InstanceState::kFailed);
  static const std::string by_uid = "SELECT key FROM study WHERE session = ? AND uid = ? AND key > ? AND " + failed;
  static const std::string all =
      "SELECT key FROM study INDEXED BY study_by_session WHERE session = ? AND key > ? AND " + failed +
      " ORDER BY key LIMIT ?";
  if (uid) {
    read(store.db().Query(by_uid, session, *uid, after));
  } else {
    read(store.db().Query(all, session, after, kStudiesPerRead));
  }
  return keys;
}

// Returns the instances that became pending.
StudyFeed RequeueStudy(Store& store, StudyKey study, const RequeueChoice& choice) {
  // lower() changes only ASCII letters.
  static const std::string where = fmt::format(
      " WHERE study = ? AND {} AND defect = 0 AND status IS coalesce(?, status)"
      " AND reported_by IS coalesce(?, reported_by)"
      " AND instr(lower(coalesce(reason, '')), lower(coalesce(?, ''))) > 0",
      StateIs(InstanceState::kFailed));
  static const std::string count = "SELECT count(*), coalesce(sum(size), 0) FROM instance" + where;
  static const std::string update = fmt::format(
      "UPDATE instance SET state = {}, attempts = 0, status = NULL, reason = NULL, duration_us = 0,"
      " outcome_ms = NULL, reported_by = NULL{}",
      Sql(InstanceState::kPending), where);
  auto& row = store.db().Query(count, study, choice.status, choice.worker, choice.reason);
  row.executeStep();
  const StudyFeed changed{.study = study,
                          .pending = row.getColumn(0).getUInt(),
                          .pending_bytes = static_cast<std::uint64_t>(row.getColumn(1).getInt64())};
  row.reset();
  if (changed.pending == 0) return changed;
  store.db().Execute(update, study, choice.status, choice.worker, choice.reason);
  Counts delta;
  Contribute(delta, InstanceState::kFailed, changed.pending_bytes, 0, true, changed.pending);
  store.AddToCounts(study, delta);
  return changed;
}

}  // namespace

wire::Page LoadPage(Store& store, StudyKey study, LeaseId lease, std::uint32_t from_index, std::size_t limit) {
  wire::Page page;
  page.set_lease_id(lease);
  page.set_from_index(from_index);
  std::set<std::int64_t> roots;
  std::int64_t pair_id = 0;  // ids start at 1
  wire::ContextPair pair;
  // Roots and pairs are read separately, because nearly all instances of a study have the same ones.
  static const std::string sql = fmt::format(
      "SELECT idx, root, path, pair, sop_instance, data_offset, size, mtime, may_be_stored FROM instance"
      " WHERE study = ? AND idx >= ? AND {} ORDER BY idx LIMIT ?",
      StateIsUnsettled());
  // One more row than requested shows whether a next page exists.
  auto& rows = store.db().Query(sql, study, std::int64_t{from_index}, static_cast<std::int64_t>(limit + 1));
  while (rows.executeStep()) {
    const auto index = rows.getColumn(0).getUInt();
    if (static_cast<std::size_t>(page.instances_size()) == limit) {
      page.set_next_index(index);
      break;
    }
    auto* instance = page.add_instances();
    const std::int64_t root = rows.getColumn(1).getInt64();
    roots.insert(root);
    if (const std::int64_t id = rows.getColumn(3).getInt64(); id != pair_id) pair = LoadPair(store, pair_id = id);
    instance->set_index(index);
    instance->set_root(static_cast<std::uint32_t>(root));
    instance->set_path(rows.getColumn(2).getString());
    instance->set_sop_class_uid(pair.sop_class_uid());
    instance->set_sop_instance_uid(rows.getColumn(4).getString());
    instance->set_transfer_syntax_uid(pair.transfer_syntax_uid());
    instance->set_dataset_offset(static_cast<std::uint64_t>(rows.getColumn(5).getInt64()));
    instance->set_size_bytes(static_cast<std::uint64_t>(rows.getColumn(6).getInt64()));
    instance->set_mtime_ns(rows.getColumn(7).getInt64());
    instance->set_alone(rows.getColumn(8).getInt() != 0);
  }
  rows.reset();
  for (const std::int64_t id : roots) {
    auto* root = page.add_roots();
    root->set_id(static_cast<std::uint32_t>(id));
    root->set_path(RootPath(store, id));
  }
  return page;
}

std::vector<InstanceFacts> LoadInstances(Store& store, StudyKey study, std::span<const std::uint32_t> indices) {
  std::vector<InstanceFacts> facts;
  facts.reserve(indices.size());
  while (!indices.empty()) {
    const std::size_t length = RunLength(indices);
    auto& rows = store.db().Query(
        "SELECT idx, state, attempts, may_be_stored, size, duration_us FROM instance"
        " WHERE study = ? AND idx BETWEEN ? AND ? ORDER BY idx",
        study, std::int64_t{indices.front()}, std::int64_t{indices[length - 1]});
    while (rows.executeStep()) {
      facts.push_back({.index = rows.getColumn(0).getUInt(),
                       .state = static_cast<InstanceState>(rows.getColumn(1).getInt()),
                       .attempts = rows.getColumn(2).getUInt(),
                       .may_be_stored = rows.getColumn(3).getInt() != 0,
                       .size_bytes = static_cast<std::uint64_t>(rows.getColumn(4).getInt64()),
                       .duration_us = rows.getColumn(5).getUInt()});
    }
    rows.reset();
    indices = indices.subspan(length);
  }
  return facts;
}

void ChangeInstances(Store& store, std::span<const InstanceChange> changes, WallTime now) {
  std::map<StudyKey, Counts> deltas;
  for (const InstanceChange& change : changes) {
    WriteInstance(store, change, now);
    Contribute(deltas[change.study], change);
  }
  for (const auto& [study, delta] : deltas) store.AddToCounts(study, delta, now);
}

std::uint64_t FailStudy(Store& store, StudyKey study, std::string_view reason, WallTime now) {
  static const std::string where = " WHERE study = ? AND " + StateIsUnsettled();
  static const std::string count = "SELECT count(*), coalesce(sum(size), 0) FROM instance" + where;
  static const std::string update =
      fmt::format("UPDATE instance SET reason = nullif(?, ''), outcome_ms = ?, state = {}, status = NULL{}",
                  Sql(InstanceState::kFailed), where);
  auto& row = store.db().Query(count, study);
  row.executeStep();
  const auto instances = static_cast<std::uint64_t>(row.getColumn(0).getInt64());
  const auto bytes = static_cast<std::uint64_t>(row.getColumn(1).getInt64());
  row.reset();
  if (instances == 0) return 0;
  store.db().Execute(update, reason, Milliseconds(now), study);
  Counts delta;
  Contribute(delta, InstanceState::kFailed, bytes, 0, false, instances);
  store.AddToCounts(study, delta, now);
  return instances;
}

std::vector<StudyFeed> Requeue(Store& store, SessionKey session, const RequeueFilter& filter) {
  std::vector<StudyFeed> changes;
  RequeueChoice choice{.status = filter.status, .worker = {}, .reason = filter.reason};
  if (filter.worker && !(choice.worker = store.FindWorker(*filter.worker))) return changes;
  for (StudyKey last = 0;;) {
    const std::vector<StudyKey> studies = FailedStudies(store, session, filter.study_instance_uid, last);
    if (studies.empty()) return changes;
    for (const StudyKey study : studies) {
      const StudyFeed changed = RequeueStudy(store, study, choice);
      if (changed.pending > 0) changes.push_back(changed);
    }
    last = studies.back();
  }
}

}  // namespace dicom_sender::sqlite
