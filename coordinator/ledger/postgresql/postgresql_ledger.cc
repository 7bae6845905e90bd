#include "coordinator/ledger/postgresql/postgresql_ledger.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <span>
#include <unordered_map>
#include <unordered_set>

#include "common/text.h"
#include "coordinator/ledger/counts.h"
#include "coordinator/ledger/postgresql/copies.h"
#include "coordinator/ledger/postgresql/schema.h"

namespace dicom_sender {
namespace {

// "OFFSET 0" in a statement keeps the order of its joins: by what was given into a table, by its key. The server
// would choose by the sizes of tables, which were others when it planned the statement. A session's studies are read
// in the order (session, key) of their index: "ORDER BY session, key", and with ANY, because the server would take
// "session = $1" for a reason to leave session out of the order, and to walk through the studies of all sessions.

constexpr std::int64_t kStudiesPerChange = 1000;
constexpr std::size_t kCachedRootsMax = 1000;

constexpr const char* kAfter = "session = ANY (ARRAY[$1::bigint]) AND key > $2::bigint";
constexpr const char* kFrom = "session = ANY (ARRAY[$1::bigint]) AND key >= $2::bigint";

using Values = PostgresqlValues;

class PostgresqlLedger : public Ledger {
 public:
  PostgresqlLedger(const PostgresqlOptions& options, std::uint64_t epoch)
      : options_(options), epoch_(static_cast<std::int64_t>(epoch)), connection_(options, kLongestStatement) {}

  void Open();

  void Begin() override;
  void Commit() override;

  SessionRecord CreateSession(const wire::OpenSession& settings, WallTime now) override;
  std::optional<SessionRecord> FindSession(std::string_view uuid) override;
  SessionRecord LoadSession(SessionKey session) override;
  std::vector<SessionKey> Sessions() override;
  void SetSettings(SessionKey session, const wire::OpenSession& settings) override;
  bool BeginScan(SessionKey session, std::string_view indexer, std::uint64_t& scan) override;
  void CompleteScan(SessionKey session, std::string_view indexer, std::uint64_t scan,
                    const std::map<std::string, std::uint64_t>& ignored) override;
  void AddUnread(SessionKey session, std::string_view indexer, std::span<const UnreadPath> paths) override;
  std::vector<UnreadPath> Unread(SessionKey session, std::string_view after, std::size_t limit) override;
  std::vector<ScanRecord> Scans(SessionKey session) override;
  void SetSessionState(SessionKey session, wire::SessionState state, std::string_view end_reason,
                       WallTime now) override;
  void BeginRun(SessionKey session, WallTime now) override;
  void SetEnding(SessionKey session, std::optional<wire::SessionState> state) override;
  std::vector<StudyFeed> Requeue(SessionKey session, const RequeueFilter& filter) override;

  std::vector<StudyFeed> AddStudies(SessionKey session, const wire::PublishBatch& batch) override;
  std::vector<UncomparedCopy> CopiesToCompare(SessionKey session, std::string_view indexer,
                                              const InstanceCursor& after, std::size_t limit) override;
  void RecordComparisons(SessionKey session, std::span<const Comparison> comparisons) override;
  std::vector<PromotedCopy> PromoteCopies(StudyKey study) override;

  StudyRecord LoadStudy(StudyKey study) override;
  std::vector<StudyRecord> Studies(SessionKey session, StudyKey after, std::size_t limit) override;
  std::vector<StudyFeed> UnsettledStudies(SessionKey session, StudyKey after, std::size_t limit) override;
  LeaseId LastLeaseId() override;
  std::optional<LeaseRecord> FindLease(LeaseId lease) override;
  void GrantLease(StudyKey study, LeaseId lease, std::string_view worker, std::string_view identity,
                  std::uint32_t worker_capacity, WallTime now) override;
  std::uint64_t EndLease(StudyKey study, bool clean) override;
  std::vector<StudyRecord> LeasedStudies(SessionKey session) override;
  void RecordReport(const LeaseRecord& lease, std::uint64_t seq, std::uint32_t associations) override;
  std::vector<wire::ContextPair> ContextPairs(StudyKey study, std::size_t limit) override;

  wire::Page LoadPage(StudyKey study, LeaseId lease, std::uint32_t from_index, std::size_t limit) override;
  void SetPageEnd(StudyKey study, std::uint32_t page_end) override;
  std::vector<InstanceFacts> LoadInstances(StudyKey study, std::span<const std::uint32_t> indices) override;
  void ChangeInstances(std::span<const InstanceChange> changes, WallTime now) override;
  std::uint64_t FailStudy(StudyKey study, std::string_view reason, WallTime now) override;
  std::vector<ReportedInstance> Report(SessionKey session, std::span<const InstanceState> states,
                                       const InstanceCursor& after, std::size_t limit) override;
  FailureReasons CountFailureReasons(SessionKey session, std::size_t limit) override;
  WorkerCount Workers(SessionKey session) override;
  std::vector<PairCount> PairCounts(SessionKey session) override;

 private:
  class Intake;

  std::string Name() const { return RedactedUri(options_.uri); }
  void FindOutOutcome();
  SessionRecord ReadSession(const PostgresqlRows& rows);
  StudyRecord ReadStudy(const PostgresqlRows& rows, int row);
  std::vector<StudyRecord> ReadStudies(const PostgresqlRows& rows);
  void AddToStudies(const std::map<StudyKey, Counts>& deltas, std::optional<WallTime> outcome_time);
  void AddToSession(SessionKey session, const Counts& delta, std::uint64_t studies = 0);
  void AddToCounts(const StudyDeltas& deltas, std::optional<WallTime> outcome_time);
  void SendSessionGrowth();
  std::vector<StudyFeed> RequeueStudies(SessionKey session, const std::vector<StudyKey>& studies,
                                        const RequeueFilter& filter);
  std::optional<StudyKey> FindStudy(SessionKey session, std::string_view uid);
  void LoadWorkers(std::span<const InstanceChange> changes);
  void ChangeDistinct(std::span<const InstanceChange> changes, WallTime now, std::map<StudyKey, Counts>& deltas);
  SessionKey SessionOf(StudyKey study);
  void Remember(StudyKey study, SessionKey session);
  void LoadRoots(SessionKey session, const wire::PublishBatch& batch);
  void LoadPairs(const wire::PublishBatch& batch);

  const PostgresqlOptions options_;
  const std::int64_t epoch_;
  PostgresqlConnection connection_;
  std::string transaction_;                                                            // its id
  std::map<std::pair<std::string, std::string>, std::int64_t, std::less<>> pair_ids_;  // by encoded UIDs
  std::map<std::pair<SessionKey, std::string>, std::int64_t> root_ids_;
  std::map<std::string, std::int64_t, std::less<>> worker_ids_;  // by encoded name
  std::unordered_map<StudyKey, SessionKey> study_sessions_;      // the last that were asked for
  std::map<SessionKey, SessionGrowth> growth_;                   // empty outside of a transaction
};

// --- transactions

void PostgresqlLedger::Open() {
  connection_.Connect();
  CheckSchema(connection_);
}

void PostgresqlLedger::Begin() {
  connection_.Send("BEGIN");
  const auto fence =
      connection_.Query("SELECT pg_current_xact_id()::text FROM leadership WHERE epoch = $1::bigint FOR KEY SHARE",
                        Values().Int(epoch_));
  if (fence.size() == 0) {
    connection_.Query("ROLLBACK");
    throw LedgerFenced(fmt::format("ledger {}: another coordinator leads; epoch {} is over", Name(), epoch_));
  }
  transaction_ = fence.Bytes(0, 0);
}

void PostgresqlLedger::Commit() {
  SendSessionGrowth();
  try {
    const auto committed = connection_.Query("COMMIT", {}, options_.leader_timeout);
    if (committed.tag() != "COMMIT") connection_.Fail("a transaction was not committed", {.passing = true});
  } catch (const PostgresqlError& error) {
    if (!error.cause().lost || (options_.give_up != nullptr && options_.give_up->raised())) throw;
    FindOutOutcome();
  }
}

// The connection was lost while a COMMIT was under way. Returns if it was made.
void PostgresqlLedger::FindOutOutcome() {
  const auto committed = connection_.FindOutcome(transaction_, std::string(connection_.history()));
  if (committed == true) return;
  connection_.Fail(committed ? "the connection was lost before a transaction was committed"
                             : "the connection was lost at a commit, and whether it was made could not be found out",
                   {.passing = true});
}

// --- counts

std::string CountAdditions() {
  return ForEachCount([](const std::string& name) { return fmt::format("{0} = t.{0} + d.{0}", name); });
}

// The arrays of a set-wise addition: first the keys, then each of the counts.
template <class Deltas, class CountsOf>
Values DeltaValues(const Deltas& deltas, CountsOf counts_of) {
  Values values;
  std::vector<std::int64_t> column;
  column.reserve(deltas.size());
  for (const auto& [key, delta] : deltas) column.push_back(key);
  values.Ints(column);
  for (const auto& count : kCountColumns) {
    column.clear();
    for (const auto& [key, delta] : deltas) {
      column.push_back(static_cast<std::int64_t>(counts_of(delta).*count.member));
    }
    values.Ints(column);
  }
  return values;
}

// FROM and WHERE for it: a row d for each key, joined with the table's row t.
std::string ByKey(const std::string& table, const std::string& arrays, const std::string& names) {
  return fmt::format(
      " FROM unnest({}) AS d({}) CROSS JOIN LATERAL (SELECT ctid AS version FROM {} WHERE key = d.key"
      " OFFSET 0) o WHERE t.ctid = o.version",
      arrays, names, table);
}

std::string CountArrays() {
  std::string arrays = "$1::bigint[]";
  for (std::size_t i = 0; i < kCountColumns.size(); ++i) arrays += fmt::format(", ${}::bigint[]", i + 2);
  return arrays;
}

void PostgresqlLedger::AddToStudies(const std::map<StudyKey, Counts>& deltas, std::optional<WallTime> outcome_time) {
  static const std::string sql =
      fmt::format("UPDATE study t SET {}, last_outcome_ms = coalesce(${}::bigint, t.last_outcome_ms)",
                  CountAdditions(), kCountColumns.size() + 2) +
      ByKey("study", CountArrays(), "key, " + CountNames());
  if (deltas.empty()) return;
  Values values = DeltaValues(deltas, [](const Counts& counts) { return counts; });
  values.Int(outcome_time ? std::optional(Milliseconds(*outcome_time)) : std::nullopt);
  connection_.Send(sql, values);
}

void PostgresqlLedger::AddToSession(SessionKey session, const Counts& delta, std::uint64_t studies) {
  SessionGrowth& growth = growth_[session];
  Add(growth.counts, delta);
  growth.studies += studies;
}

void PostgresqlLedger::AddToCounts(const StudyDeltas& deltas, std::optional<WallTime> outcome_time) {
  AddToStudies(deltas, outcome_time);
  for (const auto& [study, delta] : deltas) AddToSession(SessionOf(study), delta);
}

void PostgresqlLedger::SendSessionGrowth() {
  static const std::string sql =
      "UPDATE session t SET " + CountAdditions() + ", studies = t.studies + d.studies" +
      ByKey("session", fmt::format("{}, ${}::bigint[]", CountArrays(), kCountColumns.size() + 2),
            "key, " + CountNames() + ", studies");
  if (growth_.empty()) return;
  Values values = DeltaValues(growth_, [](const SessionGrowth& growth) { return growth.counts; });
  std::vector<std::int64_t> studies;
  for (const auto& [session, growth] : growth_) studies.push_back(static_cast<std::int64_t>(growth.studies));
  values.Ints(studies);
  connection_.Send(sql, values);
  growth_.clear();
}

Counts ReadCounts(const PostgresqlRows& rows, int row, int from_column) {
  Counts counts;
  for (const auto& column : kCountColumns) {
    counts.*column.member = static_cast<std::uint64_t>(rows.Int(row, from_column++));
  }
  return counts;
}

std::vector<std::int64_t> FirstColumn(const PostgresqlRows& rows) {
  std::vector<std::int64_t> values;
  values.reserve(static_cast<std::size_t>(rows.size()));
  for (int row = 0; row < rows.size(); ++row) values.push_back(rows.Int(row, 0));
  return values;
}

std::optional<WallTime> ReadTime(const PostgresqlRows& rows, int row, int column) {
  if (rows.IsNull(row, column)) return std::nullopt;
  return FromMilliseconds(rows.Int(row, column));
}

// --- sessions

const std::string& SessionSelect() {
  static const std::string sql =
      "SELECT key, settings, state, end_reason, scan_complete, start_ms, end_ms, studies, ending, worked_ms, "
      "run_start_ms, " +
      CountNames() + " FROM session ";
  return sql;
}

SessionRecord PostgresqlLedger::ReadSession(const PostgresqlRows& rows) {
  SessionRecord record;
  record.key = rows.Int(0, 0);
  const std::string_view settings = rows.Bytes(0, 1);
  if (!record.settings.ParseFromArray(settings.data(), static_cast<int>(settings.size()))) connection_.RefuseDamage();
  record.state = static_cast<wire::SessionState>(rows.Int(0, 2));
  record.end_reason = rows.Text(0, 3);
  record.scan_complete = rows.Int(0, 4) != 0;
  record.start_time = FromMilliseconds(rows.Int(0, 5));
  record.end_time = ReadTime(rows, 0, 6);
  record.studies = static_cast<std::uint64_t>(rows.Int(0, 7));
  if (!rows.IsNull(0, 8)) record.ending = static_cast<wire::SessionState>(rows.Int(0, 8));
  record.worked = std::chrono::milliseconds(rows.Int(0, 9));
  record.run_start = ReadTime(rows, 0, 10);
  record.counts = ReadCounts(rows, 0, 11);
  if (const auto growth = growth_.find(record.key); growth != growth_.end()) {
    Add(record.counts, growth->second.counts);
    record.studies += growth->second.studies;
  }
  const auto ignored =
      connection_.Query("SELECT reason, sum(files)::bigint FROM ignored WHERE session = $1::bigint GROUP BY reason",
                        Values().Int(record.key));
  for (int row = 0; row < ignored.size(); ++row) {
    record.ignored[ignored.Text(row, 0)] = static_cast<std::uint64_t>(ignored.Int(row, 1));
  }
  return record;
}

SessionRecord PostgresqlLedger::CreateSession(const wire::OpenSession& settings, WallTime now) {
  const auto created = connection_.Query(
      "INSERT INTO session (uuid, settings, state, start_ms, run_start_ms) VALUES ($1::text, '', $2::bigint, "
      "$3::bigint,"
      " $3::bigint) RETURNING key",
      Values().Text(settings.session()).Int(wire::SESSION_SCANNING).Int(Milliseconds(now)));
  SetSettings(created.Int(0, 0), settings);
  return LoadSession(created.Int(0, 0));
}

std::optional<SessionRecord> PostgresqlLedger::FindSession(std::string_view uuid) {
  static const std::string sql = SessionSelect() + "WHERE uuid = $1::text";
  const auto rows = connection_.Query(sql, Values().Text(uuid));
  if (rows.size() == 0) return std::nullopt;
  return ReadSession(rows);
}

SessionRecord PostgresqlLedger::LoadSession(SessionKey session) {
  static const std::string sql = SessionSelect() + "WHERE key = $1::bigint";
  const auto rows = connection_.Query(sql, Values().Int(session));
  if (rows.size() == 0) throw LedgerError(fmt::format("ledger {} has no session {}", Name(), session));
  return ReadSession(rows);
}

std::vector<SessionKey> PostgresqlLedger::Sessions() {
  const auto rows = connection_.Query("SELECT key FROM session ORDER BY key");
  return FirstColumn(rows);
}

bool PostgresqlLedger::BeginScan(SessionKey session, std::string_view indexer, std::uint64_t& scan) {
  const auto known =
      connection_.Query("SELECT number FROM scan WHERE session = $1::bigint AND sha256(indexer) = sha256($2::bytea)",
                        Values().Int(session).Bytes(indexer));
  if (known.size() > 0 && scan <= static_cast<std::uint64_t>(known.Int(0, 0))) {
    scan = static_cast<std::uint64_t>(known.Int(0, 0));
    return false;
  }
  connection_.Send(
      "INSERT INTO scan (session, indexer, number, complete) VALUES ($1::bigint, $2::bytea, $3::bigint, 0)"
      " ON CONFLICT (session, sha256(indexer)) DO UPDATE SET number = excluded.number, complete = 0",
      Values().Int(session).Bytes(indexer).Int(static_cast<std::int64_t>(scan)));
  for (const char* table : {"ignored", "unread"}) {
    connection_.Send(
        fmt::format("DELETE FROM {} WHERE session = $1::bigint AND sha256(indexer) = sha256($2::bytea)", table),
        Values().Int(session).Bytes(indexer));
  }
  connection_.Send("UPDATE session SET scan_complete = 0 WHERE key = $1::bigint", Values().Int(session));
  return true;
}

void PostgresqlLedger::CompleteScan(SessionKey session, std::string_view indexer, std::uint64_t scan,
                                    const std::map<std::string, std::uint64_t>& ignored) {
  const auto completed = connection_.Query(
      "UPDATE scan SET complete = 1 WHERE session = $1::bigint AND sha256(indexer) = sha256($2::bytea)"
      " AND number = $3::bigint AND complete = 0",
      Values().Int(session).Bytes(indexer).Int(static_cast<std::int64_t>(scan)));
  if (completed.affected() == 0) return;
  std::vector<std::string> reasons;
  std::vector<std::int64_t> files;
  for (const auto& [reason, count] : ignored) {
    reasons.push_back(EncodedText(reason));
    files.push_back(static_cast<std::int64_t>(count));
  }
  connection_.Send(
      "INSERT INTO ignored (session, indexer, reason, files) SELECT $1::bigint, $2::bytea, reason, files"
      " FROM unnest($3::text[], $4::bigint[]) AS i(reason, files)",
      Values().Int(session).Bytes(indexer).Texts(reasons).Ints(files));
  connection_.Send(
      "UPDATE session SET scan_complete ="
      " CASE WHEN EXISTS (SELECT FROM scan WHERE session = $1::bigint AND complete = 0) THEN 0 ELSE 1 END"
      " WHERE key = $1::bigint",
      Values().Int(session));
}

void PostgresqlLedger::AddUnread(SessionKey session, std::string_view indexer, std::span<const UnreadPath> paths) {
  for (const UnreadPath& unread : paths) {
    connection_.Send(
        "INSERT INTO unread (session, path, indexer, folder, reason)"
        " VALUES ($1::bigint, $2::bytea, $3::bytea, $4::bigint, $5::text)"
        " ON CONFLICT (session, sha256(path), sha256(indexer)) DO UPDATE SET folder = excluded.folder,"
        " reason = excluded.reason",
        Values().Int(session).Bytes(unread.path).Bytes(indexer).Int(unread.is_folder ? 1 : 0).Text(unread.reason));
  }
}

std::vector<UnreadPath> PostgresqlLedger::Unread(SessionKey session, std::string_view after, std::size_t limit) {
  const auto rows = connection_.Query(
      "SELECT DISTINCT ON (path) path, folder, reason FROM unread WHERE session = $1::bigint AND path > $2::bytea"
      " ORDER BY path LIMIT $3::bigint",
      Values().Int(session).Bytes(after).Int(static_cast<std::int64_t>(limit)));
  std::vector<UnreadPath> paths;
  paths.reserve(static_cast<std::size_t>(rows.size()));
  for (int row = 0; row < rows.size(); ++row) {
    paths.push_back(
        {.path = std::string(rows.Bytes(row, 0)), .is_folder = rows.Int(row, 1) != 0, .reason = rows.Text(row, 2)});
  }
  return paths;
}

std::vector<ScanRecord> PostgresqlLedger::Scans(SessionKey session) {
  const auto rows = connection_.Query(
      "SELECT indexer, complete FROM scan WHERE session = $1::bigint ORDER BY indexer", Values().Int(session));
  std::vector<ScanRecord> scans;
  scans.reserve(static_cast<std::size_t>(rows.size()));
  for (int row = 0; row < rows.size(); ++row)
    scans.push_back({std::string(rows.Bytes(row, 0)), rows.Int(row, 1) != 0});
  return scans;
}

void PostgresqlLedger::SetSessionState(SessionKey session, wire::SessionState state, std::string_view end_reason,
                                       WallTime now) {
  if (state == wire::SESSION_SCANNING || state == wire::SESSION_SENDING) {
    connection_.Send(
        "UPDATE session SET state = $1::bigint, end_reason = '', end_ms = NULL,"
        " run_start_ms = coalesce(run_start_ms, $3::bigint) WHERE key = $2::bigint",
        Values().Int(state).Int(session).Int(Milliseconds(now)));
  } else {
    connection_.Send(
        "UPDATE session SET state = $1::bigint, end_reason = $2::text, end_ms = $3::bigint, ending = NULL,"
        " worked_ms = worked_ms + greatest($3::bigint - coalesce(run_start_ms, $3::bigint), 0), run_start_ms = NULL"
        " WHERE key = $4::bigint",
        Values().Int(state).Text(end_reason).Int(Milliseconds(now)).Int(session));
  }
}

void PostgresqlLedger::BeginRun(SessionKey session, WallTime now) {
  connection_.Send(
      "UPDATE session SET worked_ms = worked_ms + greatest(0, coalesce((SELECT max(last_outcome_ms) FROM study"
      " WHERE session = $1::bigint), 0) - coalesce(run_start_ms, $2::bigint)), run_start_ms = $2::bigint"
      " WHERE key = $1::bigint",
      Values().Int(session).Int(Milliseconds(now)));
}

void PostgresqlLedger::SetEnding(SessionKey session, std::optional<wire::SessionState> state) {
  if (state) {
    connection_.Send("UPDATE session SET ending = $1::bigint WHERE key = $2::bigint",
                     Values().Int(*state).Int(session));
  } else {
    connection_.Send("UPDATE session SET ending = NULL WHERE key = $1::bigint", Values().Int(session));
  }
}

void PostgresqlLedger::SetSettings(SessionKey session, const wire::OpenSession& settings) {
  // What the views show of them has columns of its own.
  const auto& destination = settings.destination();
  connection_.Send(
      "UPDATE session SET settings = $1::bytea, called_ae = $2::text, calling_ae = $3::text, host = $4::text,"
      " port = $5::bigint WHERE key = $6::bigint",
      Values()
          .Bytes(settings.SerializeAsString())
          .Text(destination.called_ae())
          .Text(destination.calling_ae())
          .Text(destination.host())
          .Int(std::int64_t{destination.port()})
          .Int(session));
}

// Returns how many instances of each study are pending again.
std::vector<StudyFeed> PostgresqlLedger::RequeueStudies(SessionKey session, const std::vector<StudyKey>& studies,
                                                        const RequeueFilter& filter) {
  // In the collation "C", lower() changes nothing but ASCII.
  const auto changed = connection_.Query(
      "WITH changed AS (UPDATE instance i SET state = 0, attempts = 0, status = NULL, reason = NULL, duration_us = 0,"
      " outcome_ms = NULL, reported_by = NULL FROM unnest($1::bigint[]) AS s(key) CROSS JOIN LATERAL"
      "   (SELECT ctid AS version FROM instance o WHERE o.study = s.key AND o.state = 4 AND o.defect = 0"
      "   AND ($2::bigint IS NULL OR o.status = $2::bigint)"
      "   AND ($3::text IS NULL OR o.reported_by = (SELECT id FROM worker WHERE name = $3::text))"
      "   AND strpos(lower(coalesce(o.reason, '') COLLATE \"C\"), lower(coalesce($4::text, '') COLLATE \"C\")) > 0"
      "   OFFSET 0) o WHERE i.ctid = o.version RETURNING i.study, i.size)"
      " SELECT study, count(*), sum(size)::bigint FROM changed GROUP BY study ORDER BY study",
      Values().Ints(studies).Int(filter.status).TextOrNull(filter.worker).TextOrNull(filter.reason));
  std::vector<StudyFeed> changes;
  std::map<StudyKey, Counts> deltas;
  for (int row = 0; row < changed.size(); ++row) {
    const StudyFeed change{.study = changed.Int(row, 0),
                           .pending = static_cast<std::uint32_t>(changed.Int(row, 1)),
                           .pending_bytes = static_cast<std::uint64_t>(changed.Int(row, 2))};
    Contribute(deltas[change.study], InstanceState::kFailed, change.pending_bytes, 0, true, change.pending);
    changes.push_back(change);
  }
  AddToStudies(deltas, std::nullopt);
  for (const auto& [study, delta] : deltas) AddToSession(session, delta);
  return changes;
}

std::vector<StudyFeed> PostgresqlLedger::Requeue(SessionKey session, const RequeueFilter& filter) {
  if (filter.study_instance_uid) {
    const auto study = FindStudy(session, *filter.study_instance_uid);
    return study ? RequeueStudies(session, {*study}, filter) : std::vector<StudyFeed>();
  }
  static const std::string select =
      fmt::format("SELECT key FROM study WHERE {} AND failed > 0 ORDER BY session, key LIMIT $3::bigint", kAfter);
  std::vector<StudyFeed> changes;
  for (StudyKey last = 0;;) {
    const auto found = connection_.Query(select, Values().Int(session).Int(last).Int(kStudiesPerChange));
    if (found.size() == 0) return changes;
    const std::vector<StudyKey> studies = FirstColumn(found);
    std::ranges::copy(RequeueStudies(session, studies, filter), std::back_inserter(changes));
    last = studies.back();
  }
}

std::optional<StudyKey> PostgresqlLedger::FindStudy(SessionKey session, std::string_view uid) {
  const auto rows = connection_.Query("SELECT key FROM study WHERE session = $1::bigint AND uid = $2::text",
                                      Values().Int(session).Text(uid));
  return rows.size() > 0 ? std::optional(rows.Int(0, 0)) : std::nullopt;
}

// --- the feed

void PostgresqlLedger::LoadRoots(SessionKey session, const wire::PublishBatch& batch) {
  if (root_ids_.size() > kCachedRootsMax) root_ids_.clear();
  std::set<std::string_view> unknown;
  const auto look = [&](const std::string& path) {
    if (!root_ids_.contains({session, path})) unknown.insert(path);
  };
  for (const auto& root : batch.roots()) look(root.path());
  look({});  // of instances whose root is not in the batch
  if (unknown.empty()) return;
  const std::vector<std::string_view> paths(unknown.begin(), unknown.end());
  const auto rows = connection_.Query(
      "WITH added AS (INSERT INTO root (session, path) SELECT $1::bigint, path FROM unnest($2::bytea[]) AS u(path)"
      " ON CONFLICT DO NOTHING RETURNING id, path)"
      " SELECT id, path FROM added UNION ALL SELECT r.id, r.path FROM unnest($2::bytea[]) AS u(path)"
      " CROSS JOIN LATERAL (SELECT id, path FROM root WHERE session = $1::bigint AND sha256(path) = sha256(u.path)"
      "   OFFSET 0) r",
      Values().Int(session).ByteStrings(paths));
  for (int row = 0; row < rows.size(); ++row)
    root_ids_[{session, std::string(rows.Bytes(row, 1))}] = rows.Int(row, 0);
}

// They get their numbers in the order in which they were found.
void PostgresqlLedger::LoadPairs(const wire::PublishBatch& batch) {
  if (pair_ids_.size() > kCachedPairsMax) pair_ids_.clear();
  std::set<std::pair<std::string, std::string>> unknown;
  std::vector<std::string> classes, syntaxes;
  for (const auto& items : batch.studies()) {
    for (const auto& instance : items.instances()) {
      std::pair pair(EncodedText(instance.sop_class_uid()), EncodedText(instance.transfer_syntax_uid()));
      if (pair_ids_.contains(pair) || !unknown.insert(pair).second) continue;
      classes.push_back(std::move(pair.first));
      syntaxes.push_back(std::move(pair.second));
    }
  }
  if (unknown.empty()) return;
  const auto rows = connection_.Query(
      "WITH u AS MATERIALIZED (SELECT * FROM unnest($1::text[], $2::text[]) WITH ORDINALITY"
      "   AS u(sop_class, transfer_syntax, place)),"
      " added AS (INSERT INTO pair (sop_class, transfer_syntax) SELECT sop_class, transfer_syntax FROM u"
      "   ORDER BY place ON CONFLICT DO NOTHING RETURNING *)"
      " SELECT id, sop_class, transfer_syntax FROM added UNION ALL SELECT p.id, p.sop_class, p.transfer_syntax"
      " FROM u CROSS JOIN LATERAL (SELECT * FROM pair WHERE sop_class = u.sop_class"
      "   AND transfer_syntax = u.transfer_syntax OFFSET 0) p",
      Values().Texts(classes).Texts(syntaxes));
  for (int row = 0; row < rows.size(); ++row) {
    pair_ids_[{std::string(rows.Bytes(row, 1)), std::string(rows.Bytes(row, 2))}] = rows.Int(row, 0);
  }
}

// A batch while it is taken in. What is known is looked up for all of it at once; then the instances are judged one
// by one, those of the batch itself included, and what is new is written at once.
//
// `known` has every file: by its SOP Instance UID, or by its path if it has none. Copies that are not sent are there
// by their path, too: of a UID that thousands of files share only a few have to be looked at for each further one.
class PostgresqlLedger::Intake {
 public:
  Intake(PostgresqlLedger& ledger, SessionKey session, const wire::PublishBatch& batch)
      : ledger_(ledger), session_(session), batch_(batch) {}

  std::vector<StudyFeed> Take();

 private:
  static constexpr int kInstanceColumns = 12, kKnownColumns = 4;  // that are written

  struct Root {
    std::int64_t id = 0;
    std::string_view path;
  };
  struct Study {
    StudyFeed feed;
    std::int64_t next_index = 0;
    Counts delta;
    bool is_new = false;
    std::string accession_number;  // that the ledger does not have; encoded
  };
  struct Item {
    const wire::Instance* instance = nullptr;
    Root root;
    std::string uid;  // encoded
    std::int64_t hash = 0;
    Study* study = nullptr;

    std::int64_t path_hash() const { return PathHash(root.path, instance->path()); }
  };
  struct KnownFile {
    StudyKey study = 0;
    std::int64_t index = 0;
    Root root;
    std::string_view path;
    std::string_view uid;  // encoded
    InstanceState state = InstanceState::kPending;
  };
  struct Known {
    bool same_file = false;
    bool same_uid = false;
    std::optional<Original> original;  // the first file with this SOP Instance UID
  };

  void LoadStudies();
  void ListItems();
  void LoadKnown(const std::vector<std::int64_t>& hashes);
  void LoadKnownByPath();
  void Look(std::int64_t hash, const Item& item, Known& known) const;
  void AddIfNew(const Item& item);
  void Write(const Item& item, const Beginning& beginning, std::int64_t hash, std::int64_t pair);
  void Remember(const Item& item, InstanceState state, std::int64_t hash);
  void SendAccessionNumbers();
  void SendInstances();

  PostgresqlLedger& ledger_;
  const SessionKey session_;
  const wire::PublishBatch& batch_;
  std::unordered_map<std::string, Study> studies_;  // by encoded UID
  std::vector<Study*> in_order_;
  std::vector<Item> items_;
  std::vector<PostgresqlRows> read_;                                // to which known files refer
  std::unordered_map<std::int64_t, std::vector<KnownFile>> known_;  // by hash; ascending (study, index)
  std::set<std::pair<std::int64_t, std::int64_t>> study_pairs_;
  PostgresqlCopy new_instances_, new_known_;
  NewCopies new_copies_;
  std::size_t new_ = 0;  // instances
};

void PostgresqlLedger::Intake::LoadStudies() {
  std::vector<std::string> uids;
  for (const auto& items : batch_.studies()) {
    std::string uid = EncodedText(items.study_instance_uid());
    const auto [study, is_new] = studies_.try_emplace(uid);
    if (study->second.accession_number.empty())
      study->second.accession_number = EncodedText(items.accession_number());
    if (!is_new) continue;
    in_order_.push_back(&study->second);
    uids.push_back(std::move(uid));
  }
  const auto rows = ledger_.connection_.Query(
      "WITH u AS MATERIALIZED (SELECT * FROM unnest($2::text[]) WITH ORDINALITY AS u(uid, place)),"
      " known AS MATERIALIZED (SELECT s.key, s.uid, s.total, s.accession_number FROM u CROSS JOIN LATERAL"
      "   (SELECT * FROM study WHERE session = $1::bigint AND uid = u.uid OFFSET 0) s),"
      " added AS (INSERT INTO study (session, uid) SELECT $1::bigint, u.uid FROM u"
      "   WHERE u.uid NOT IN (SELECT uid FROM known) ORDER BY u.place RETURNING key, uid)"
      " SELECT key, uid, total, 0, (accession_number IS NOT NULL)::integer FROM known"
      " UNION ALL SELECT key, uid, 0, 1, 0 FROM added",
      Values().Int(session_).Texts(uids));
  for (int row = 0; row < rows.size(); ++row) {
    Study& study = studies_.at(std::string(rows.Bytes(row, 1)));
    study.feed.study = rows.Int(row, 0);
    study.next_index = rows.Int(row, 2);
    study.is_new = rows.Int(row, 3) != 0;
    if (rows.Int(row, 4) != 0) study.accession_number.clear();
    ledger_.Remember(study.feed.study, session_);
  }
}

void PostgresqlLedger::Intake::ListItems() {
  std::unordered_map<std::uint32_t, Root> roots;
  for (const auto& root : batch_.roots())
    roots[root.id()] = {ledger_.root_ids_.at({session_, root.path()}), root.path()};
  const Root none{ledger_.root_ids_.at({session_, {}}), {}};
  for (const auto& items : batch_.studies()) {
    Study& study = studies_.at(EncodedText(items.study_instance_uid()));
    for (const auto& instance : items.instances()) {
      const auto root = roots.find(instance.root());
      Item& item = items_.emplace_back();
      item.instance = &instance;
      item.root = root != roots.end() ? root->second : none;
      item.uid = EncodedText(instance.sop_instance_uid());
      item.hash = item.uid.empty() ? item.path_hash() : UidHash(instance.sop_instance_uid());
      item.study = &study;
    }
  }
}

void PostgresqlLedger::Intake::LoadKnown(const std::vector<std::int64_t>& hashes) {
  const auto& rows = read_.emplace_back(ledger_.connection_.Query(
      "SELECT k.hash, k.study, k.idx, i.root, r.path, i.path, i.sop_instance, i.state"
      " FROM unnest($2::bigint[]) AS h(hash) CROSS JOIN LATERAL (SELECT * FROM known WHERE session = $1::bigint"
      "   AND hash = h.hash OFFSET 0) k CROSS JOIN LATERAL (SELECT * FROM instance WHERE study = k.study"
      "   AND idx = k.idx OFFSET 0) i CROSS JOIN LATERAL (SELECT path FROM root WHERE id = i.root OFFSET 0) r"
      " ORDER BY k.hash, k.study, k.idx",
      Values().Int(session_).Ints(hashes)));
  for (int row = 0; row < rows.size(); ++row) {
    known_[rows.Int(row, 0)].push_back({.study = rows.Int(row, 1),
                                        .index = rows.Int(row, 2),
                                        .root = {rows.Int(row, 3), rows.Bytes(row, 4)},
                                        .path = rows.Bytes(row, 5),
                                        .uid = rows.Bytes(row, 6),
                                        .state = static_cast<InstanceState>(rows.Int(row, 7))});
  }
}

// Where a SOP Instance UID stands in the batch or in the ledger already, the copies are known by their paths.
void PostgresqlLedger::Intake::LoadKnownByPath() {
  std::set<std::int64_t> hashes;
  std::unordered_set<std::string_view> seen;
  for (const Item& item : items_) {
    if (item.uid.empty()) continue;
    Known known;
    Look(item.hash, item, known);
    const bool is_first = seen.insert(item.uid).second;
    if (!known.same_file && (known.same_uid || !is_first) && !known_.contains(item.path_hash())) {
      hashes.insert(item.path_hash());
    }
  }
  if (!hashes.empty()) LoadKnown({hashes.begin(), hashes.end()});
}

void PostgresqlLedger::Intake::Look(std::int64_t hash, const Item& item, Known& known) const {
  const auto files = known_.find(hash);
  if (files == known_.end()) return;
  for (const KnownFile& file : files->second) {
    if (file.uid != item.uid) continue;
    if (file.root.id == item.root.id && file.path == item.instance->path()) known.same_file = true;
    if (item.uid.empty()) continue;
    known.same_uid = true;
    if (known.original || !IsOriginal(file.state)) continue;
    known.original = {.study = file.study,
                      .index = static_cast<std::uint32_t>(file.index),
                      .path = JoinPath(std::string(file.root.path), std::string(file.path))};
  }
}

void PostgresqlLedger::Intake::AddIfNew(const Item& item) {
  Known known;
  Look(item.hash, item, known);
  if (known.same_uid && !known.same_file) Look(item.path_hash(), item, known);
  if (known.same_file) return;
  const wire::Instance& instance = *item.instance;
  Study& study = *item.study;
  const Beginning beginning = BeginningOf(instance, known.original);
  const bool is_pending = beginning.state == InstanceState::kPending;
  const std::int64_t hash = known.same_uid && !is_pending ? item.path_hash() : item.hash;
  const std::int64_t pair =
      ledger_.pair_ids_.at({EncodedText(instance.sop_class_uid()), EncodedText(instance.transfer_syntax_uid())});
  Write(item, beginning, hash, pair);
  Remember(item, beginning.state, hash);
  if (beginning.state == InstanceState::kSkipped) {
    new_copies_.Add(study.feed.study, study.next_index, known.original->study, known.original->index);
  }

  ++study.next_index;
  ++study.delta.total;
  study.delta.total_bytes += instance.size_bytes();
  Contribute(study.delta, beginning.state, instance.size_bytes(), 0, false);
  if (!is_pending) return;
  ++study.feed.pending;
  study.feed.pending_bytes += instance.size_bytes();
  study_pairs_.emplace(study.feed.study, pair);
}

void PostgresqlLedger::Intake::Write(const Item& item, const Beginning& beginning, std::int64_t hash,
                                     std::int64_t pair) {
  const wire::Instance& instance = *item.instance;
  ++new_;
  new_instances_.Row(kInstanceColumns);
  new_instances_.Bigint(item.study->feed.study);
  new_instances_.Integer(item.study->next_index);
  new_instances_.Integer(item.root.id);
  new_instances_.Bytes(instance.path());
  new_instances_.Integer(pair);
  new_instances_.Bytes(item.uid);
  new_instances_.Bigint(static_cast<std::int64_t>(instance.size_bytes()));
  new_instances_.Bigint(instance.mtime_ns());
  new_instances_.Bigint(static_cast<std::int64_t>(instance.dataset_offset()));
  new_instances_.Smallint(static_cast<std::int64_t>(beginning.state));
  beginning.reason.empty() ? new_instances_.Null() : new_instances_.Bytes(EncodedText(beginning.reason));
  new_instances_.Smallint(beginning.state == InstanceState::kFailed ? 1 : 0);
  new_known_.Row(kKnownColumns);
  new_known_.Bigint(session_);
  new_known_.Bigint(hash);
  new_known_.Bigint(item.study->feed.study);
  new_known_.Integer(item.study->next_index);
}

// For those of the batch that come after it.
void PostgresqlLedger::Intake::Remember(const Item& item, InstanceState state, std::int64_t hash) {
  const KnownFile added{.study = item.study->feed.study,
                        .index = item.study->next_index,
                        .root = item.root,
                        .path = item.instance->path(),
                        .uid = item.uid,
                        .state = state};
  auto& files = known_[hash];
  const auto place = [](const KnownFile& file) { return std::pair(file.study, file.index); };
  files.insert(std::ranges::upper_bound(files, place(added), {}, place), added);
}

void PostgresqlLedger::Intake::SendAccessionNumbers() {
  std::vector<std::int64_t> studies;
  std::vector<std::string> numbers;
  for (const Study* study : in_order_) {
    if (study->accession_number.empty()) continue;
    studies.push_back(study->feed.study);
    numbers.push_back(study->accession_number);
  }
  if (studies.empty()) return;
  static const std::string sql =
      "UPDATE study t SET accession_number = d.number" + ByKey("study", "$1::bigint[], $2::text[]", "key, number");
  ledger_.connection_.Send(sql, Values().Ints(studies).Texts(numbers));
}

void PostgresqlLedger::Intake::SendInstances() {
  if (new_ == 0) return;
  ledger_.connection_.Copy(
      "instance (study, idx, root, path, pair, sop_instance, size, mtime, data_offset, state, reason, defect)",
      std::move(new_instances_));
  ledger_.connection_.Copy("known (session, hash, study, idx)", std::move(new_known_));
  if (study_pairs_.empty()) return;
  std::vector<std::int64_t> studies, pairs;
  for (const auto& [study, pair] : study_pairs_) {
    studies.push_back(study);
    pairs.push_back(pair);
  }
  ledger_.connection_.Send(
      "INSERT INTO study_pair (study, pair) SELECT * FROM unnest($1::bigint[], $2::bigint[]) ON CONFLICT DO NOTHING",
      Values().Ints(studies).Ints(pairs));
}

std::vector<StudyFeed> PostgresqlLedger::Intake::Take() {
  ledger_.LoadRoots(session_, batch_);
  ledger_.LoadPairs(batch_);
  LoadStudies();
  ListItems();
  std::set<std::int64_t> hashes;
  for (const Item& item : items_) hashes.insert(item.hash);
  LoadKnown({hashes.begin(), hashes.end()});
  LoadKnownByPath();
  for (const Item& item : items_) AddIfNew(item);
  SendAccessionNumbers();
  SendInstances();
  new_copies_.Send(ledger_.connection_, session_, batch_.indexer());
  std::vector<StudyFeed> feeds;
  std::map<StudyKey, Counts> deltas;
  for (const Study* study : in_order_) {
    feeds.push_back(study->feed);
    if (study->delta.total > 0) deltas[study->feed.study] = study->delta;
    ledger_.AddToSession(session_, study->delta, study->is_new ? 1 : 0);
  }
  ledger_.AddToStudies(deltas, std::nullopt);
  return feeds;
}

std::vector<StudyFeed> PostgresqlLedger::AddStudies(SessionKey session, const wire::PublishBatch& batch) {
  return Intake(*this, session, batch).Take();
}

std::vector<UncomparedCopy> PostgresqlLedger::CopiesToCompare(SessionKey session, std::string_view indexer,
                                                              const InstanceCursor& after, std::size_t limit) {
  return UncomparedCopies(connection_, session, indexer, after, limit);
}

void PostgresqlLedger::RecordComparisons(SessionKey session, std::span<const Comparison> comparisons) {
  AddToCounts(dicom_sender::RecordComparisons(connection_, session, comparisons), std::nullopt);
}

std::vector<PromotedCopy> PostgresqlLedger::PromoteCopies(StudyKey study) {
  std::vector<PromotedCopy> promoted;
  AddToCounts(dicom_sender::PromoteCopies(connection_, study, promoted), std::nullopt);
  return promoted;
}

// --- studies and leases

void PostgresqlLedger::Remember(StudyKey study, SessionKey session) {
  if (study_sessions_.size() >= kCachedStudySessionsMax) study_sessions_.clear();
  study_sessions_[study] = session;
}

SessionKey PostgresqlLedger::SessionOf(StudyKey study) {
  const auto known = study_sessions_.find(study);
  return known != study_sessions_.end() ? known->second : LoadStudy(study).session;
}

std::string StudySelect() {
  const std::string counts = ForEachCount([](const std::string& name) { return "s." + name; });
  return "SELECT s.key, s.session, s.uid, s.lease, coalesce(l.worker, ''), s.page_end, s.suspect_end,"
         " s.first_lease_ms, s.last_outcome_ms, " +
         counts + " FROM study s LEFT JOIN lease l ON l.id = s.lease ";
}

StudyRecord PostgresqlLedger::ReadStudy(const PostgresqlRows& rows, int row) {
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
  Remember(record.key, record.session);
  return record;
}

std::vector<StudyRecord> PostgresqlLedger::ReadStudies(const PostgresqlRows& rows) {
  std::vector<StudyRecord> records;
  records.reserve(static_cast<std::size_t>(rows.size()));
  for (int row = 0; row < rows.size(); ++row) records.push_back(ReadStudy(rows, row));
  return records;
}

StudyRecord PostgresqlLedger::LoadStudy(StudyKey study) {
  static const std::string sql = StudySelect() + "WHERE s.key = $1::bigint";
  const auto rows = connection_.Query(sql, Values().Int(study));
  if (rows.size() == 0) throw LedgerError(fmt::format("ledger {} has no study {}", Name(), study));
  return ReadStudy(rows, 0);
}

std::vector<StudyRecord> PostgresqlLedger::Studies(SessionKey session, StudyKey after, std::size_t limit) {
  static const std::string sql = StudySelect() + "WHERE " + kAfter + " ORDER BY s.session, s.key LIMIT $3::bigint";
  return ReadStudies(connection_.Query(sql, Values().Int(session).Int(after).Int(static_cast<std::int64_t>(limit))));
}

std::vector<StudyFeed> PostgresqlLedger::UnsettledStudies(SessionKey session, StudyKey after, std::size_t limit) {
  static const std::string sql = fmt::format(
      "SELECT key, total - (stored + warned + failed + skipped), total_bytes - settled_bytes FROM study"
      " WHERE {} AND {} ORDER BY session, key LIMIT $3::bigint",
      kAfter, kUnsettledStudies);
  const auto rows = connection_.Query(sql, Values().Int(session).Int(after).Int(static_cast<std::int64_t>(limit)));
  std::vector<StudyFeed> studies;
  for (int row = 0; row < rows.size(); ++row) {
    Remember(rows.Int(row, 0), session);
    studies.push_back({.study = rows.Int(row, 0),
                       .pending = static_cast<std::uint32_t>(rows.Int(row, 1)),
                       .pending_bytes = static_cast<std::uint64_t>(rows.Int(row, 2))});
  }
  return studies;
}

LeaseId PostgresqlLedger::LastLeaseId() {
  return static_cast<LeaseId>(connection_.Query("SELECT coalesce(max(id), 0) FROM lease").Int(0, 0));
}

std::optional<LeaseRecord> PostgresqlLedger::FindLease(LeaseId lease) {
  const auto rows = connection_.Query(
      "SELECT l.study, s.suspect_end, l.last_report_seq, l.associations, s.session, l.worker, l.identity"
      " FROM lease l JOIN study s ON s.key = l.study WHERE l.id = $1::bigint",
      Values().Int(static_cast<std::int64_t>(lease)));
  if (rows.size() == 0) return std::nullopt;
  Remember(rows.Int(0, 0), rows.Int(0, 4));
  return LeaseRecord{.id = lease,
                     .session = rows.Int(0, 4),
                     .study = rows.Int(0, 0),
                     .worker = rows.Text(0, 5),
                     .identity = rows.Text(0, 6),
                     .suspect_end = static_cast<std::uint32_t>(rows.Int(0, 1)),
                     .last_report_seq = static_cast<std::uint64_t>(rows.Int(0, 2)),
                     .associations = static_cast<std::uint32_t>(rows.Int(0, 3))};
}

void PostgresqlLedger::GrantLease(StudyKey study, LeaseId lease, std::string_view worker, std::string_view identity,
                                  std::uint32_t worker_capacity, WallTime now) {
  const auto id = static_cast<std::int64_t>(lease);
  connection_.Send(
      "INSERT INTO lease (id, study, worker, identity) VALUES ($1::bigint, $2::bigint, $3::text, $4::text)",
      Values().Int(id).Int(study).Text(worker).Text(identity));
  connection_.Send(
      "UPDATE study SET lease = $1::bigint, page_end = 0, first_lease_ms = coalesce(first_lease_ms, $2::bigint)"
      " WHERE key = $3::bigint",
      Values().Int(id).Int(Milliseconds(now)).Int(study));
  connection_.Send(
      "INSERT INTO session_worker AS w (session, worker, threads)"
      " SELECT session, $2::text, $3::bigint FROM study WHERE key = $1::bigint"
      " ON CONFLICT (session, worker) DO UPDATE SET threads = excluded.threads WHERE w.threads < excluded.threads",
      Values().Int(study).Text(worker).Int(std::int64_t{worker_capacity}));
}

std::uint64_t PostgresqlLedger::EndLease(StudyKey study, bool clean) {
  Counts delta;
  if (!clean) {
    const auto unreported = connection_.Query(
        "SELECT count(*) FROM study s JOIN instance i ON i.study = s.key WHERE s.key = $1::bigint"
        " AND i.idx < s.page_end AND (i.idx < s.suspect_end OR i.may_be_stored = 1) AND i.state IN (0, 1)",
        Values().Int(study));
    delta.resends = static_cast<std::uint64_t>(unreported.Int(0, 0));
  }
  if (delta.resends > 0) {
    AddToStudies({{study, delta}}, std::nullopt);
    AddToSession(SessionOf(study), delta);
  }
  connection_.Send(
      clean ? "UPDATE study SET lease = 0 WHERE key = $1::bigint"
            : "UPDATE study SET lease = 0, suspect_end = greatest(suspect_end, page_end) WHERE key = $1::bigint",
      Values().Int(study));
  return delta.resends;
}

std::vector<StudyRecord> PostgresqlLedger::LeasedStudies(SessionKey session) {
  static const std::string sql = StudySelect() + "WHERE s.session = $1::bigint AND s.lease > 0 ORDER BY s.key";
  return ReadStudies(connection_.Query(sql, Values().Int(session)));
}

void PostgresqlLedger::RecordReport(const LeaseRecord& lease, std::uint64_t seq, std::uint32_t associations) {
  const std::uint32_t opened = std::max(lease.associations, associations);
  connection_.Send("UPDATE lease SET last_report_seq = $1::bigint, associations = $2::bigint WHERE id = $3::bigint",
                   Values()
                       .Int(static_cast<std::int64_t>(seq))
                       .Int(std::int64_t{opened})
                       .Int(static_cast<std::int64_t>(lease.id)));
  if (opened == lease.associations) return;
  Counts delta;
  delta.associations = opened - lease.associations;
  AddToStudies({{lease.study, delta}}, std::nullopt);
  AddToSession(lease.session, delta);
}

std::vector<wire::ContextPair> PostgresqlLedger::ContextPairs(StudyKey study, std::size_t limit) {
  const auto rows = connection_.Query(
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

// --- instances

wire::Page PostgresqlLedger::LoadPage(StudyKey study, LeaseId lease, std::uint32_t from_index, std::size_t limit) {
  wire::Page page;
  page.set_lease_id(lease);
  page.set_from_index(from_index);
  // One more than asked for tells whether there is a next page.
  const auto rows = connection_.Query(
      "SELECT i.idx, i.root, i.path, p.sop_class, p.transfer_syntax, i.sop_instance, i.data_offset, i.size, i.mtime,"
      " i.may_be_stored, r.path FROM (SELECT * FROM instance WHERE study = $1::bigint AND idx >= $2::bigint"
      "   AND state IN (0, 1) ORDER BY idx LIMIT $3::bigint) i"
      " CROSS JOIN LATERAL (SELECT * FROM pair WHERE id = i.pair OFFSET 0) p"
      " CROSS JOIN LATERAL (SELECT path FROM root WHERE id = i.root OFFSET 0) r ORDER BY i.idx",
      Values().Int(study).Int(std::int64_t{from_index}).Int(static_cast<std::int64_t>(limit + 1)));
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

void PostgresqlLedger::SetPageEnd(StudyKey study, std::uint32_t page_end) {
  connection_.Send("UPDATE study SET page_end = greatest(page_end, $1::bigint) WHERE key = $2::bigint",
                   Values().Int(std::int64_t{page_end}).Int(study));
}

std::vector<InstanceFacts> PostgresqlLedger::LoadInstances(StudyKey study, std::span<const std::uint32_t> indices) {
  const auto rows = connection_.Query(
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

// Loads the ids of the workers that reported the changes.
void PostgresqlLedger::LoadWorkers(std::span<const InstanceChange> changes) {
  if (worker_ids_.size() > kCachedWorkersMax) worker_ids_.clear();
  std::set<std::string> unknown;
  for (const InstanceChange& change : changes) {
    std::string name = EncodedText(change.worker);
    if (!name.empty() && !worker_ids_.contains(name)) unknown.insert(std::move(name));
  }
  if (unknown.empty()) return;
  const auto rows = connection_.Query(
      "WITH added AS (INSERT INTO worker (name) SELECT name FROM unnest($1::text[]) AS u(name)"
      "   ON CONFLICT DO NOTHING RETURNING id, name)"
      " SELECT id, name FROM added UNION ALL SELECT w.id, w.name FROM unnest($1::text[]) AS u(name)"
      " CROSS JOIN LATERAL (SELECT * FROM worker WHERE name = u.name OFFSET 0) w",
      Values().Texts({unknown.begin(), unknown.end()}));
  for (int row = 0; row < rows.size(); ++row) worker_ids_[std::string(rows.Bytes(row, 1))] = rows.Int(row, 0);
}

// No instance may stand twice among them.
void PostgresqlLedger::ChangeDistinct(std::span<const InstanceChange> changes, WallTime now,
                                      std::map<StudyKey, Counts>& deltas) {
  LoadWorkers(changes);
  std::vector<std::int64_t> studies, indices, states, attempts, statuses, durations, may_be_stored, workers;
  std::vector<std::int64_t> states_before, attempts_before;
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
    workers.push_back(change.worker.empty() ? 0 : worker_ids_.at(EncodedText(change.worker)));
    states_before.push_back(static_cast<std::int64_t>(change.before.state));
    attempts_before.push_back(std::int64_t{change.before.attempts});
    Contribute(deltas[change.study], change);
  }
  const auto written = connection_.Query(
      "UPDATE instance i SET state = c.state, attempts = c.attempts, status = nullif(c.status, -1),"
      " reason = nullif(c.reason, ''), duration_us = c.duration_us, may_be_stored = c.may_be_stored,"
      " outcome_ms = CASE WHEN c.state >= 2 THEN $9::bigint END, reported_by = nullif(c.worker, 0)"
      " FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[],"
      " $8::bigint[], $10::bigint[], $11::bigint[], $12::bigint[])"
      " AS c(study, idx, state, attempts, status, reason, duration_us, may_be_stored, worker, state_before,"
      "   attempts_before)"
      " CROSS JOIN LATERAL (SELECT ctid AS version, state, attempts FROM instance"
      "   WHERE study = c.study AND idx = c.idx OFFSET 0) o"
      " WHERE i.ctid = o.version AND o.state = c.state_before AND o.attempts = c.attempts_before",
      Values()
          .Ints(studies)
          .Ints(indices)
          .Ints(states)
          .Ints(attempts)
          .Ints(statuses)
          .Texts(reasons)
          .Ints(durations)
          .Ints(may_be_stored)
          .Int(Milliseconds(now))
          .Ints(workers)
          .Ints(states_before)
          .Ints(attempts_before));
  if (written.affected() == changes.size()) return;
  throw LedgerError(
      fmt::format("ledger {}: an instance of those from {} {} to {} {} does not exist or is not as it was read",
                  Name(), changes.front().study, changes.front().index, changes.back().study, changes.back().index));
}

void PostgresqlLedger::ChangeInstances(std::span<const InstanceChange> changes, WallTime now) {
  std::map<StudyKey, Counts> deltas;
  while (!changes.empty()) {
    std::set<std::pair<StudyKey, std::uint32_t>> distinct;
    std::size_t length = 0;
    while (length < changes.size() && distinct.emplace(changes[length].study, changes[length].index).second) ++length;
    ChangeDistinct(changes.first(length), now, deltas);
    changes = changes.subspan(length);
  }
  AddToCounts(deltas, now);
}

std::uint64_t PostgresqlLedger::FailStudy(StudyKey study, std::string_view reason, WallTime now) {
  const auto failed = connection_.Query(
      "WITH failed AS (UPDATE instance SET state = 4, status = NULL, reason = nullif($2::text, ''),"
      "   outcome_ms = $3::bigint WHERE study = $1::bigint AND state IN (0, 1) RETURNING size)"
      " SELECT count(*), coalesce(sum(size), 0)::bigint FROM failed",
      Values().Int(study).Text(reason).Int(Milliseconds(now)));
  const auto instances = static_cast<std::uint64_t>(failed.Int(0, 0));
  if (instances == 0) return 0;
  Counts delta;
  Contribute(delta, InstanceState::kFailed, static_cast<std::uint64_t>(failed.Int(0, 1)), 0, false, instances);
  AddToCounts({{study, delta}}, now);
  return instances;
}

// --- reports

std::vector<ReportedInstance> PostgresqlLedger::Report(SessionKey session, std::span<const InstanceState> states,
                                                       const InstanceCursor& after, std::size_t limit) {
  std::vector<std::int64_t> numbers;
  for (const InstanceState state : states) numbers.push_back(static_cast<std::int64_t>(state));
  // A page starts at the cursor and ends with it.
  const auto rows = connection_.Query(
      "SELECT s.key, i.idx, r.path, i.path, s.uid, i.sop_instance, i.status, coalesce(i.reason, ''), i.attempts,"
      " coalesce((SELECT name FROM worker WHERE id = i.reported_by), ''), i.state"
      " FROM (SELECT session, key, uid FROM study WHERE " +
          std::string(kFrom) + " AND " + StudiesWith(states) +
          "   ORDER BY session, key OFFSET 0) s"
          " CROSS JOIN LATERAL (SELECT * FROM instance WHERE study = s.key"
          "   AND idx > CASE WHEN s.key = $2::bigint THEN $3::bigint ELSE -1 END AND state = ANY ($5::bigint[])"
          "   ORDER BY idx LIMIT $4::bigint) i"
          " CROSS JOIN LATERAL (SELECT path FROM root WHERE id = i.root OFFSET 0) r"
          " ORDER BY s.session, s.key, i.idx LIMIT $4::bigint",
      Values()
          .Int(session)
          .Int(after.study)
          .Int(after.index ? std::int64_t{*after.index} : std::int64_t{-1})
          .Int(static_cast<std::int64_t>(limit))
          .Ints(numbers));
  std::vector<ReportedInstance> reported;
  for (int row = 0; row < rows.size(); ++row) {
    auto& instance = reported.emplace_back();
    instance.study = rows.Int(row, 0);
    instance.index = static_cast<std::uint32_t>(rows.Int(row, 1));
    instance.path = JoinPath(std::string(rows.Bytes(row, 2)), std::string(rows.Bytes(row, 3)));
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

FailureReasons PostgresqlLedger::CountFailureReasons(SessionKey session, std::size_t limit) {
  const auto rows = connection_.Query(
      "SELECT coalesce(i.reason, '') COLLATE \"C\", count(*), count(*) OVER ()"
      " FROM (SELECT key FROM study WHERE session = $1::bigint AND failed > 0 OFFSET 0) s"
      " CROSS JOIN LATERAL (SELECT reason FROM instance WHERE study = s.key AND state = 4 OFFSET 0) i"
      " GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT $2::bigint",
      Values().Int(session).Int(static_cast<std::int64_t>(limit)));
  FailureReasons reasons;
  for (int row = 0; row < rows.size(); ++row) {
    reasons.most_frequent.push_back({rows.Text(row, 0), static_cast<std::uint64_t>(rows.Int(row, 1))});
    reasons.distinct = static_cast<std::uint64_t>(rows.Int(row, 2));
  }
  return reasons;
}

WorkerCount PostgresqlLedger::Workers(SessionKey session) {
  const auto row = connection_.Query(
      "SELECT count(*), coalesce(sum(threads), 0)::bigint FROM session_worker WHERE session = $1::bigint",
      Values().Int(session));
  return {.workers = static_cast<std::uint64_t>(row.Int(0, 0)), .threads = static_cast<std::uint64_t>(row.Int(0, 1))};
}

std::vector<PairCount> PostgresqlLedger::PairCounts(SessionKey session) {
  static const std::string sql = fmt::format(
      "SELECT p.sop_class, p.transfer_syntax, c.instances FROM (SELECT i.pair, count(*) AS instances"
      "   FROM (SELECT key FROM study WHERE session = $1::bigint AND {} OFFSET 0) s CROSS JOIN LATERAL"
      "   (SELECT pair FROM instance WHERE study = s.key AND state IN (0, 1) OFFSET 0) i GROUP BY i.pair OFFSET 0) c"
      " CROSS JOIN LATERAL (SELECT * FROM pair WHERE id = c.pair OFFSET 0) p ORDER BY c.pair",
      kUnsettledStudies);
  const auto rows = connection_.Query(sql, Values().Int(session));
  std::vector<PairCount> counts;
  for (int row = 0; row < rows.size(); ++row) {
    PairCount& count = counts.emplace_back();
    count.pair.set_sop_class_uid(rows.Text(row, 0));
    count.pair.set_transfer_syntax_uid(rows.Text(row, 1));
    count.instances = static_cast<std::uint64_t>(rows.Int(row, 2));
  }
  return counts;
}

}  // namespace

tl::expected<std::unique_ptr<Ledger>, LedgerTrouble> OpenPostgresqlLedger(const PostgresqlOptions& options,
                                                                          std::uint64_t epoch) {
  try {
    auto ledger = std::make_unique<PostgresqlLedger>(options, epoch);
    ledger->Open();
    return ledger;
  } catch (const PostgresqlError& error) {
    return tl::unexpected(LedgerTrouble{error.what(), error.cause().passing});
  }
}

}  // namespace dicom_sender
