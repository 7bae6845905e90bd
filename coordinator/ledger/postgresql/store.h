// The state that all parts of the ledger in PostgreSQL share: the connection and its transactions, the counts of
// studies and sessions, and the cached ids of rows that are looked up by name. Throws PostgresqlError unless a
// comment says otherwise.
//
// "OFFSET 0" in a statement fixes the join order: from the given values into a table, by its key. Without it, the
// planner would decide by the sizes of the tables at the time when it planned the statement, which may be outdated.
// The studies of a session are read in the order of the index (session, key), with "ORDER BY session, key" and ANY.
// With "session = $1", the planner would drop session from the sort order and scan the studies of all sessions.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "coordinator/ledger/counts.h"
#include "coordinator/ledger/ledger.h"
#include "coordinator/ledger/postgresql/connection.h"

namespace dicom_sender::postgresql {

// Conditions for studies of session $1: with keys greater than $2, and with keys not less than $2.
inline constexpr const char* kAfter = "session = ANY (ARRAY[$1::bigint]) AND key > $2::bigint";
inline constexpr const char* kFrom = "session = ANY (ARRAY[$1::bigint]) AND key >= $2::bigint";

using Values = PostgresqlValues;
using StudyDeltas = std::map<StudyKey, Counts>;

class Store {
 public:
  Store(const PostgresqlOptions& options, std::uint64_t epoch);

  // Call it before anything else. Refuses tables that are not of this release.
  void Open();

  PostgresqlConnection& db() { return connection_; }
  std::string name() const;  // for messages

  void Begin();  // throws LedgerFenced if the epoch has ended
  void Commit();

  // --- counts; Commit() writes those of sessions
  // Adds to the counts of the studies and their sessions. `outcome_time` becomes the studies' last outcome time.
  void AddToCounts(const StudyDeltas& deltas, std::optional<WallTime> outcome_time = std::nullopt);
  // The same for studies of one session, which saves a lookup.
  void AddToCountsIn(SessionKey session, const StudyDeltas& deltas);
  SessionGrowths& growths() { return growths_; }
  SessionKey SessionOf(StudyKey study);  // throws LedgerError if the study does not exist
  void Remember(StudyKey study, SessionKey session);

  // --- rows by name; missing rows are added, and the result has the order of the names
  std::vector<std::int64_t> RootIds(SessionKey session, const std::vector<std::string_view>& paths);
  std::vector<std::int64_t> PairIds(const std::vector<std::pair<std::string_view, std::string_view>>& pairs);
  std::vector<std::int64_t> WorkerIds(std::span<const InstanceChange> changes);  // 0 if no worker reported it

 private:
  void FindOutOutcome();
  void AddToStudies(const StudyDeltas& deltas, std::optional<WallTime> outcome_time);
  void SendGrowths();

  const PostgresqlOptions options_;
  const std::int64_t epoch_;
  PostgresqlConnection connection_;
  std::string transaction_;                                  // id of the current transaction
  SessionGrowths growths_;                                   // empty outside of a transaction
  std::unordered_map<StudyKey, SessionKey> study_sessions_;  // a cache
  std::map<std::pair<SessionKey, std::string>, std::int64_t> root_ids_;
  std::map<std::pair<std::string, std::string>, std::int64_t> pair_ids_;  // by encoded UIDs
  std::map<std::string, std::int64_t> worker_ids_;                        // by encoded name
};

// Returns FROM and WHERE of an UPDATE of `table` t, which joins it with a row d for each key. `arrays`: one array
// parameter for each of the `names`, starting with the keys.
std::string ByKey(const std::string& table, const std::string& arrays, const std::string& names);

// --- values of a row
Counts ReadCounts(const PostgresqlRows& rows, int row, int from_column);
std::optional<WallTime> ReadTime(const PostgresqlRows& rows, int row, int column);
std::string ReadPath(const PostgresqlRows& rows, int row, int column);  // joins a root and a path below it
std::vector<std::int64_t> FirstColumn(const PostgresqlRows& rows);

}  // namespace dicom_sender::postgresql
