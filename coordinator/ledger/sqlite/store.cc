#include "coordinator/ledger/sqlite/store.h"

#include <fmt/format.h>

#include "common/text.h"

namespace dicom_sender::sqlite {
namespace {

std::string CountAdditions() {
  return ForEachCount([](const std::string& name) { return name + " = " + name + " + ?"; });
}

// Returns the index of the last parameter that it bound.
int BindCounts(SQLite::Statement& statement, const Counts& delta) {
  int at = 0;
  for (const auto& column : kCountColumns) statement.bind(++at, static_cast<std::int64_t>(delta.*column.member));
  return at;
}

}  // namespace

void Store::Begin() { connection_.Begin(); }

void Store::Commit() {
  WriteGrowths();
  connection_.Commit();
}

void Store::AddToCounts(StudyKey study, const Counts& delta, std::optional<WallTime> outcome_time) {
  AddToStudy(study, delta, outcome_time);
  growths_.Add(SessionOf(study), delta);
}

void Store::AddToStudy(StudyKey study, const Counts& delta, std::optional<WallTime> outcome_time) {
  static const std::string sql =
      "UPDATE study SET " + CountAdditions() + ", last_outcome_ms = coalesce(?, last_outcome_ms) WHERE key = ?";
  auto& statement = connection_.Query(sql);
  int at = BindCounts(statement, delta);
  ++at;
  outcome_time ? statement.bind(at, Milliseconds(*outcome_time)) : statement.bind(at);
  statement.bind(++at, study);
  statement.exec();
  statement.reset();
}

void Store::WriteGrowths() {
  static const std::string sql = "UPDATE session SET " + CountAdditions() + ", studies = studies + ? WHERE key = ?";
  for (const auto& [session, growth] : growths_.all()) {
    auto& statement = connection_.Query(sql);
    int at = BindCounts(statement, growth.counts);
    statement.bind(++at, static_cast<std::int64_t>(growth.studies));
    statement.bind(++at, session);
    statement.exec();
    statement.reset();
  }
  growths_.Clear();
}

SessionKey Store::SessionOf(StudyKey study) {
  if (const auto it = study_sessions_.find(study); it != study_sessions_.end()) return it->second;
  auto& row = connection_.Query("SELECT session FROM study WHERE key = ?", study);
  if (!row.executeStep()) throw LedgerError(fmt::format("ledger '{}': study {} does not exist", file(), study));
  const SessionKey session = row.getColumn(0).getInt64();
  row.reset();
  if (study_sessions_.size() >= kCachedStudySessionsMax) study_sessions_.clear();
  return study_sessions_[study] = session;
}

std::optional<std::int64_t> Store::FindWorker(const std::string& name) {
  if (const auto it = worker_ids_.find(name); it != worker_ids_.end()) return it->second;
  auto& row = connection_.Query("SELECT id FROM worker WHERE name = ?", name);
  if (!row.executeStep()) return std::nullopt;
  const std::int64_t id = row.getColumn(0).getInt64();
  row.reset();
  if (worker_ids_.size() >= kCachedWorkersMax) worker_ids_.clear();
  return worker_ids_[name] = id;
}

std::optional<std::int64_t> Store::WorkerId(const std::string& name) {
  if (name.empty()) return std::nullopt;
  if (const auto id = FindWorker(name)) return id;
  connection_.Execute("INSERT INTO worker (name) VALUES (?)", name);
  return FindWorker(name);
}

std::int64_t Store::PairId(std::string_view sop_class, std::string_view transfer_syntax) {
  const std::string name = fmt::format("{} {}", sop_class, transfer_syntax);
  if (const auto it = pair_ids_.find(name); it != pair_ids_.end()) return it->second;
  connection_.Execute("INSERT OR IGNORE INTO pair (sop_class, transfer_syntax) VALUES (?, ?)", sop_class,
                      transfer_syntax);
  auto& row = connection_.Query("SELECT id FROM pair WHERE sop_class = ? AND transfer_syntax = ?", sop_class,
                                transfer_syntax);
  row.executeStep();
  const std::int64_t id = row.getColumn(0).getInt64();
  row.reset();
  if (pair_ids_.size() >= kCachedPairsMax) pair_ids_.clear();
  return pair_ids_[name] = id;
}

std::int64_t Store::RootId(SessionKey session, std::string_view path) {
  connection_.Execute("INSERT OR IGNORE INTO root (session, path) VALUES (?, ?)", session, Blob{path});
  auto& row = connection_.Query("SELECT id FROM root WHERE session = ? AND path = ?", session, Blob{path});
  row.executeStep();
  const std::int64_t id = row.getColumn(0).getInt64();
  row.reset();
  return id;
}

Counts ReadCounts(SQLite::Statement& row, int at) {
  Counts counts;
  for (const auto& column : kCountColumns) {
    counts.*column.member = static_cast<std::uint64_t>(row.getColumn(at++).getInt64());
  }
  return counts;
}

std::optional<WallTime> ReadTime(SQLite::Statement& row, int at) {
  if (row.getColumn(at).isNull()) return std::nullopt;
  return FromMilliseconds(row.getColumn(at).getInt64());
}

std::string ReadPath(SQLite::Statement& row, int at) {
  return JoinPath(row.getColumn(at).getString(), row.getColumn(at + 1).getString());
}

}  // namespace dicom_sender::sqlite
