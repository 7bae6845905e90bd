// The state that all parts of the ledger in SQLite share: the connection, the counts of studies and sessions, and the
// cached ids of rows that are looked up by name. Throws SQLite::Exception, and LedgerError where a comment says so.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "coordinator/ledger/counts.h"
#include "coordinator/ledger/ledger.h"
#include "coordinator/ledger/sqlite/connection.h"

namespace dicom_sender::sqlite {

class Store {
 public:
  explicit Store(const std::string& file) : connection_(file) {}

  Connection& db() { return connection_; }
  const std::string& file() const { return connection_.file(); }

  void Begin();
  void Commit();

  // --- counts; Commit() writes those of sessions
  // Adds to the counts of the study and its session. `outcome_time` becomes the study's last outcome time.
  void AddToCounts(StudyKey study, const Counts& delta, std::optional<WallTime> outcome_time = std::nullopt);
  void AddToStudy(StudyKey study, const Counts& delta, std::optional<WallTime> outcome_time = std::nullopt);
  SessionGrowths& growths() { return growths_; }
  SessionKey SessionOf(StudyKey study);  // throws LedgerError if the study does not exist

  // --- rows by name
  std::optional<std::int64_t> FindWorker(const std::string& name);
  std::optional<std::int64_t> WorkerId(const std::string& name);  // adds it if it is new; nullopt if `name` is empty
  std::int64_t PairId(std::string_view sop_class, std::string_view transfer_syntax);  // adds it if it is new
  std::int64_t RootId(SessionKey session, std::string_view path);                     // adds it if it is new

 private:
  void WriteGrowths();

  Connection connection_;
  SessionGrowths growths_;                                   // empty outside of a transaction
  std::unordered_map<StudyKey, SessionKey> study_sessions_;  // a cache
  std::unordered_map<std::string, std::int64_t> worker_ids_;
  std::unordered_map<std::string, std::int64_t> pair_ids_;
};

// --- values of a row, starting at column `at`
Counts ReadCounts(SQLite::Statement& row, int at);
std::optional<WallTime> ReadTime(SQLite::Statement& row, int at);
std::string ReadPath(SQLite::Statement& row, int at);  // joins a root and a path below it

}  // namespace dicom_sender::sqlite
