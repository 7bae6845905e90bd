// What all parts of the ledger in PostgreSQL share: the connection and its transactions, the counts of studies and
// sessions, and the numbers of rows that are looked up by name again and again. Throws PostgresqlError unless a
// comment says otherwise.
//
// "OFFSET 0" in a statement keeps the order of its joins: by what was given into a table, by its key. The server
// would choose by the sizes of tables, which were others when it planned the statement. A session's studies are read
// in the order (session, key) of their index: "ORDER BY session, key", and with ANY. For "session = $1", the server
// would leave session out of the order, and walk through the studies of all sessions.
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

// The condition for studies of session $1 with keys greater than $2, or not smaller.
inline constexpr const char* kAfter = "session = ANY (ARRAY[$1::bigint]) AND key > $2::bigint";
inline constexpr const char* kFrom = "session = ANY (ARRAY[$1::bigint]) AND key >= $2::bigint";

using Values = PostgresqlValues;
using StudyDeltas = std::map<StudyKey, Counts>;

class Store {
 public:
  Store(const PostgresqlOptions& options, std::uint64_t epoch);

  // To be called before anything else. Refuses tables that are not of this release.
  void Open();

  PostgresqlConnection& db() { return connection_; }
  std::string name() const;  // for messages

  void Begin();  // throws LedgerFenced if the epoch is over
  void Commit();

  // --- counts. Those of sessions are written by Commit().
  // Studies and their sessions; `outcome_time` becomes the studies' last one.
  void AddToCounts(const StudyDeltas& deltas, std::optional<WallTime> outcome_time = std::nullopt);
  // The same for studies of one session, which need not be looked up.
  void AddToCountsIn(SessionKey session, const StudyDeltas& deltas);
  SessionGrowths& growths() { return growths_; }
  SessionKey SessionOf(StudyKey study);  // throws LedgerError if the study does not exist
  void Remember(StudyKey study, SessionKey session);

  // --- rows by name, each of which is added if it does not exist; in the order of the names
  std::vector<std::int64_t> RootIds(SessionKey session, const std::vector<std::string_view>& paths);
  std::vector<std::int64_t> PairIds(const std::vector<std::pair<std::string_view, std::string_view>>& pairs);
  std::vector<std::int64_t> WorkerIds(std::span<const InstanceChange> changes);  // 0: no worker reported it

 private:
  void FindOutOutcome();
  void AddToStudies(const StudyDeltas& deltas, std::optional<WallTime> outcome_time);
  void SendGrowths();

  const PostgresqlOptions options_;
  const std::int64_t epoch_;
  PostgresqlConnection connection_;
  std::string transaction_;                                  // its id
  SessionGrowths growths_;                                   // empty outside of a transaction
  std::unordered_map<StudyKey, SessionKey> study_sessions_;  // those that were asked for last
  std::map<std::pair<SessionKey, std::string>, std::int64_t> root_ids_;
  std::map<std::pair<std::string, std::string>, std::int64_t> pair_ids_;  // by encoded UIDs
  std::map<std::string, std::int64_t> worker_ids_;                        // by encoded name
};

// FROM and WHERE of an UPDATE of `table` t, which joins it with a row d for each key. `arrays`: one for each of the
// names, beginning with the key's.
std::string ByKey(const std::string& table, const std::string& arrays, const std::string& names);

// --- values of a row
Counts ReadCounts(const PostgresqlRows& rows, int row, int from_column);
std::optional<WallTime> ReadTime(const PostgresqlRows& rows, int row, int column);
std::string ReadPath(const PostgresqlRows& rows, int row, int column);  // of a root and a path below it
std::vector<std::int64_t> FirstColumn(const PostgresqlRows& rows);

}  // namespace dicom_sender::postgresql
