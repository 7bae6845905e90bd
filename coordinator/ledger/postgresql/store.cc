#include "coordinator/ledger/postgresql/store.h"

#include <fmt/format.h>

#include <set>

#include "common/text.h"
#include "coordinator/ledger/postgresql/postgresql_ledger.h"
#include "coordinator/ledger/postgresql/schema.h"

namespace dicom_sender::postgresql {
namespace {

constexpr std::size_t kCachedRootsMax = 1000;

std::string CountAdditions() {
  return ForEachCount([](const std::string& name) { return fmt::format("{0} = t.{0} + d.{0}", name); });
}

// The array parameters of a bulk addition: first the keys, then one array for each of the counts.
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

std::string CountArrays() {
  std::string arrays = "$1::bigint[]";
  for (std::size_t i = 0; i < kCountColumns.size(); ++i) arrays += fmt::format(", ${}::bigint[]", i + 2);
  return arrays;
}

}  // namespace

Store::Store(const PostgresqlOptions& options, std::uint64_t epoch)
    : options_(options), epoch_(static_cast<std::int64_t>(epoch)), connection_(options, kLongestStatement) {}

std::string Store::name() const { return RedactedUri(options_.uri); }

// --- transactions

void Store::Open() {
  connection_.Connect();
  CheckSchema(connection_);
}

void Store::Begin() {
  connection_.Send("BEGIN");
  const auto fence =
      connection_.Query("SELECT pg_current_xact_id()::text FROM leadership WHERE epoch = $1::bigint FOR KEY SHARE",
                        Values().Int(epoch_));
  if (fence.size() == 0) {
    connection_.Query("ROLLBACK");
    throw LedgerFenced(
        fmt::format("ledger '{}': another coordinator is the leader now; epoch {} has ended", name(), epoch_));
  }
  transaction_ = fence.Bytes(0, 0);
}

void Store::Commit() {
  SendGrowths();
  try {
    const auto committed = connection_.Query("COMMIT", {}, options_.leader_timeout);
    if (committed.tag() != "COMMIT") connection_.Fail("a transaction was not committed", {.passing = true});
  } catch (const PostgresqlError& error) {
    if (!error.cause().lost || (options_.give_up != nullptr && options_.give_up->raised())) throw;
    FindOutOutcome();
  }
}

// Call it after the connection was lost during a COMMIT. Returns if the transaction was committed, and fails
// otherwise.
void Store::FindOutOutcome() {
  const auto committed = connection_.FindOutcome(transaction_, std::string(connection_.history()));
  if (committed == true) return;
  connection_.Fail(committed ? "the connection was lost before a transaction was committed"
                             : "the connection was lost during a commit, and its outcome could not be determined",
                   {.passing = true});
}

// --- counts

std::string ByKey(const std::string& table, const std::string& arrays, const std::string& names) {
  return fmt::format(
      " FROM unnest({}) AS d({}) CROSS JOIN LATERAL (SELECT ctid AS version FROM {} WHERE key = d.key"
      " OFFSET 0) o WHERE t.ctid = o.version",
      arrays, names, table);
}

void Store::AddToStudies(const StudyDeltas& deltas, std::optional<WallTime> outcome_time) {
  static const std::string sql =
      fmt::format("UPDATE study t SET {}, last_outcome_ms = coalesce(${}::bigint, t.last_outcome_ms)",
                  CountAdditions(), kCountColumns.size() + 2) +
      ByKey("study", CountArrays(), "key, " + CountNames());
  if (deltas.empty()) return;
  Values values = DeltaValues(deltas, [](const Counts& counts) { return counts; });
  values.Int(outcome_time ? std::optional(Milliseconds(*outcome_time)) : std::nullopt);
  connection_.Send(sql, values);
}

void Store::AddToCounts(const StudyDeltas& deltas, std::optional<WallTime> outcome_time) {
  AddToStudies(deltas, outcome_time);
  for (const auto& [study, delta] : deltas) growths_.Add(SessionOf(study), delta);
}

void Store::AddToCountsIn(SessionKey session, const StudyDeltas& deltas) {
  AddToStudies(deltas, std::nullopt);
  for (const auto& [study, delta] : deltas) growths_.Add(session, delta);
}

void Store::SendGrowths() {
  static const std::string sql =
      "UPDATE session t SET " + CountAdditions() + ", studies = t.studies + d.studies" +
      ByKey("session", fmt::format("{}, ${}::bigint[]", CountArrays(), kCountColumns.size() + 2),
            "key, " + CountNames() + ", studies");
  if (growths_.all().empty()) return;
  Values values = DeltaValues(growths_.all(), [](const SessionGrowths::Growth& growth) { return growth.counts; });
  std::vector<std::int64_t> studies;
  for (const auto& [session, growth] : growths_.all()) studies.push_back(static_cast<std::int64_t>(growth.studies));
  values.Ints(studies);
  connection_.Send(sql, values);
  growths_.Clear();
}

void Store::Remember(StudyKey study, SessionKey session) {
  if (study_sessions_.size() >= kCachedStudySessionsMax) study_sessions_.clear();
  study_sessions_[study] = session;
}

SessionKey Store::SessionOf(StudyKey study) {
  if (const auto known = study_sessions_.find(study); known != study_sessions_.end()) return known->second;
  const auto rows = connection_.Query("SELECT session FROM study WHERE key = $1::bigint", Values().Int(study));
  if (rows.size() == 0) throw LedgerError(fmt::format("ledger '{}': study {} does not exist", name(), study));
  Remember(study, rows.Int(0, 0));
  return rows.Int(0, 0);
}

// --- rows by name

std::vector<std::int64_t> Store::RootIds(SessionKey session, const std::vector<std::string_view>& paths) {
  if (root_ids_.size() > kCachedRootsMax) root_ids_.clear();
  std::set<std::string_view> unknown;
  for (const std::string_view path : paths) {
    if (!root_ids_.contains({session, std::string(path)})) unknown.insert(path);
  }
  if (!unknown.empty()) {
    const auto rows = connection_.Query(
        "WITH added AS (INSERT INTO root (session, path) SELECT $1::bigint, path FROM unnest($2::bytea[]) AS u(path)"
        " ON CONFLICT DO NOTHING RETURNING id, path)"
        " SELECT id, path FROM added UNION ALL SELECT r.id, r.path FROM unnest($2::bytea[]) AS u(path)"
        " CROSS JOIN LATERAL (SELECT id, path FROM root WHERE session = $1::bigint AND sha256(path) = sha256(u.path)"
        "   OFFSET 0) r",
        Values().Int(session).ByteStrings({unknown.begin(), unknown.end()}));
    for (int row = 0; row < rows.size(); ++row) {
      root_ids_[{session, std::string(rows.Bytes(row, 1))}] = rows.Int(row, 0);
    }
  }
  std::vector<std::int64_t> ids;
  ids.reserve(paths.size());
  for (const std::string_view path : paths) ids.push_back(root_ids_.at({session, std::string(path)}));
  return ids;
}

// New pairs get ascending ids in the order in which they were found.
std::vector<std::int64_t> Store::PairIds(const std::vector<std::pair<std::string_view, std::string_view>>& pairs) {
  if (pair_ids_.size() > kCachedPairsMax) pair_ids_.clear();
  std::vector<std::pair<std::string, std::string>> encoded;
  std::vector<std::string> classes, syntaxes;
  for (const auto& [sop_class, syntax] : pairs) {
    const auto& pair = encoded.emplace_back(EncodedText(sop_class), EncodedText(syntax));
    if (pair_ids_.contains(pair)) continue;
    classes.push_back(pair.first);
    syntaxes.push_back(pair.second);
  }
  if (!classes.empty()) {
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
  std::vector<std::int64_t> ids;
  ids.reserve(encoded.size());
  for (const auto& pair : encoded) ids.push_back(pair_ids_.at(pair));
  return ids;
}

std::vector<std::int64_t> Store::WorkerIds(std::span<const InstanceChange> changes) {
  if (worker_ids_.size() > kCachedWorkersMax) worker_ids_.clear();
  std::set<std::string> unknown;
  for (const InstanceChange& change : changes) {
    std::string worker = EncodedText(change.worker);
    if (!worker.empty() && !worker_ids_.contains(worker)) unknown.insert(std::move(worker));
  }
  if (!unknown.empty()) {
    const auto rows = connection_.Query(
        "WITH added AS (INSERT INTO worker (name) SELECT name FROM unnest($1::text[]) AS u(name)"
        "   ON CONFLICT DO NOTHING RETURNING id, name)"
        " SELECT id, name FROM added UNION ALL SELECT w.id, w.name FROM unnest($1::text[]) AS u(name)"
        " CROSS JOIN LATERAL (SELECT * FROM worker WHERE name = u.name OFFSET 0) w",
        Values().Texts({unknown.begin(), unknown.end()}));
    for (int row = 0; row < rows.size(); ++row) worker_ids_[std::string(rows.Bytes(row, 1))] = rows.Int(row, 0);
  }
  std::vector<std::int64_t> ids;
  ids.reserve(changes.size());
  for (const InstanceChange& change : changes) {
    ids.push_back(change.worker.empty() ? 0 : worker_ids_.at(EncodedText(change.worker)));
  }
  return ids;
}

// --- values of a row

Counts ReadCounts(const PostgresqlRows& rows, int row, int from_column) {
  Counts counts;
  for (const auto& column : kCountColumns) {
    counts.*column.member = static_cast<std::uint64_t>(rows.Int(row, from_column++));
  }
  return counts;
}

std::optional<WallTime> ReadTime(const PostgresqlRows& rows, int row, int column) {
  if (rows.IsNull(row, column)) return std::nullopt;
  return FromMilliseconds(rows.Int(row, column));
}

std::string ReadPath(const PostgresqlRows& rows, int row, int column) {
  return JoinPath(std::string(rows.Bytes(row, column)), std::string(rows.Bytes(row, column + 1)));
}

std::vector<std::int64_t> FirstColumn(const PostgresqlRows& rows) {
  std::vector<std::int64_t> values;
  values.reserve(static_cast<std::size_t>(rows.size()));
  for (int row = 0; row < rows.size(); ++row) values.push_back(rows.Int(row, 0));
  return values;
}

}  // namespace dicom_sender::postgresql
