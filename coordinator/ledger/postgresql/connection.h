// A connection to a PostgreSQL server that uses libpq's asynchronous calls. Every wait for the server has a time
// limit, and an event can end it. The only exception is the lookup of a host name: libpq leaves it to the system,
// which takes as long as resolv.conf allows, and no event can end it.
//
// Statements are prepared once and pipelined: Send() does not wait for its answer, but the next Query() does. Values
// are transferred in binary format. All functions throw PostgresqlError. An error closes the connection, which can
// then be opened again. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/progress.h"
#include "common/time.h"
#include "common/wake_event.h"
#include "coordinator/ledger/ledger_reader.h"
#include "coordinator/ledger/postgresql/values.h"

struct pg_conn;

namespace dicom_sender {

struct PostgresqlHost;

struct PostgresqlOptions {
  std::string uri;  // for libpq; the service file, the PG* variables, and the password file supply what it leaves out
  Duration leader_timeout{};           // the same for all coordinators on this ledger
  const WakeEvent* give_up = nullptr;  // when raised, every wait for the server ends with a LedgerError; may be null
  Progress progress = {};              // noted about once per second during a wait for the server
};

class PostgresqlError : public LedgerError {
 public:
  struct Cause {
    bool passing = false;       // the problem may go away by itself
    bool lost = false;          // the connection was lost, so a statement in flight may have been executed
    std::string sqlstate = {};  // from the server; empty if it did not send one
  };
  PostgresqlError(const std::string& sentence, Cause cause) : LedgerError(sentence), cause_(std::move(cause)) {}
  const Cause& cause() const { return cause_; }

 private:
  Cause cause_;
};

// Returns the value of PostgresqlConnection::history().
inline constexpr const char* kHistoryQuery =
    "SELECT system_identifier || ' ' || left(pg_walfile_name(pg_current_wal_lsn()), 8) FROM pg_control_system()";

inline constexpr Duration kLongestStatement = std::chrono::minutes(10);  // for example, a requeue of a huge session

class PostgresqlConnection {
 public:
  // `answer_within`: the longest time that a Query() waits.
  PostgresqlConnection(PostgresqlOptions options, Duration answer_within);
  ~PostgresqlConnection();
  PostgresqlConnection(const PostgresqlConnection&) = delete;
  PostgresqlConnection& operator=(const PostgresqlConnection&) = delete;

  // Opens a new connection, after closing an old one. Waits at most `within`, by default the leader timeout. Tries
  // several hosts one after the other, each for its share of the time, until it finds a writable database. Refuses a
  // server that is older than PostgreSQL 14, a database whose encoding is not UTF-8, and a read-only database.
  void Connect() { Connect(options_.leader_timeout); }
  void Connect(Duration within);
  // Identifies the server and its timeline at the last Connect(), so it differs between servers and before and after
  // the promotion of a replica. Within a history, a transaction id always means the same transaction.
  const std::string& history() const { return history_; }
  bool connected() const { return connection_ != nullptr; }
  // Determines whether a transaction of `history` was committed, after the connection was lost during its COMMIT.
  // Connects, for up to twice the leader timeout. Returns nullopt if the outcome cannot be determined.
  std::optional<bool> FindOutcome(const std::string& transaction, const std::string& history);

  // The next Query() checks the answer and throws its error.
  void Send(std::string_view sql, const PostgresqlValues& values = {});
  PostgresqlRows Query(std::string_view sql, const PostgresqlValues& values = {});
  PostgresqlRows Query(std::string_view sql, const PostgresqlValues& values, Duration answer_within);
  // Executes COPY. `into`: the table and its columns.
  void Copy(std::string_view into, PostgresqlCopy rows);
  // Executes several statements without parameters in one transaction.
  void Script(const std::string& sql);

  // Waits for `duration`. Fails if the event is raised.
  void Pause(Duration duration);

  // Closes the connection and throws.
  [[noreturn]] void Fail(const std::string& why, PostgresqlError::Cause cause);
  // Throws because the content of the database cannot be used and a person must act. `why` is one sentence.
  [[noreturn]] void Refuse(const std::string& why);
  // The same for data that cannot be valid.
  [[noreturn]] void RefuseDamage() { Refuse("it is damaged; restore a backup"); }

 private:
  struct Close {
    void operator()(pg_conn* connection) const;
  };

  bool GaveUp() const { return options_.give_up != nullptr && options_.give_up->raised(); }
  void Start(const PostgresqlHost& host);
  void Establish(TimePoint deadline);
  void SetUpSession(TimePoint deadline);
  void Wait(short events, TimePoint deadline);
  pg_result* NextResult(TimePoint deadline);
  PostgresqlRows Simple(const std::string& sql, TimePoint deadline);
  PostgresqlRows Results(TimePoint deadline);
  void LeavePipeline(TimePoint deadline);
  void EnterPipeline();
  PostgresqlRows Answer(TimePoint deadline);
  const std::string& Prepared(std::string_view sql);
  [[noreturn]] void FailConnecting(bool tried);
  [[noreturn]] void FailFor(const pg_result* result);

  PostgresqlOptions options_;
  const Duration answer_within_;
  std::unique_ptr<pg_conn, Close> connection_;
  std::string history_;
  std::string warning_;  // the last Query()'s warning 01000, for example from a COMMIT that did not wait for replicas
  // Names of the prepared statements, by text. They live as long as the connection. Their number is limited, because
  // varying values are always parameters.
  std::map<std::string, std::string, std::less<>> prepared_;
};

}  // namespace dicom_sender
