// One connection to a PostgreSQL server, by libpq's asynchronous calls: no wait for the server is without a bound,
// and an event ends each of them. To look up a host's name is not among them: libpq has the system do it, which takes
// as long as its configuration says (resolv.conf), and no event ends it.
//
// Statements are prepared once and pipelined: Send() does not wait for its answer, the next Query() does. Values go
// and come in binary. All functions throw PostgresqlError; the connection is closed then, and can be opened again.
// One thread.
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
  std::string uri;            // libpq's; what it leaves out comes from service file, PG* variables, password file
  Duration leader_timeout{};  // of all coordinators on this ledger
  const WakeEvent* give_up = nullptr;  // raised: every wait for the server ends with a LedgerError. May be null
  Progress progress = {};              // noted about once a second while it waits for the server, within its bound
};

class PostgresqlError : public LedgerError {
 public:
  struct Cause {
    bool passing = false;       // it may be over soon without anybody's doing
    bool lost = false;          // the connection, not the statement: what was on its way may have been done
    std::string sqlstate = {};  // as the server said; empty: it said nothing
  };
  PostgresqlError(const std::string& sentence, Cause cause) : LedgerError(sentence), cause_(std::move(cause)) {}
  const Cause& cause() const { return cause_; }

 private:
  Cause cause_;
};

// The answer is what PostgresqlConnection::history() says.
inline constexpr const char* kHistoryQuery =
    "SELECT system_identifier || ' ' || left(pg_walfile_name(pg_current_wal_lsn()), 8) FROM pg_control_system()";

inline constexpr Duration kLongestStatement = std::chrono::minutes(10);  // requeueing a huge session is one

class PostgresqlConnection {
 public:
  // `answer_within`: the most that a Query waits.
  PostgresqlConnection(PostgresqlOptions options, Duration answer_within);
  ~PostgresqlConnection();
  PostgresqlConnection(const PostgresqlConnection&) = delete;
  PostgresqlConnection& operator=(const PostgresqlConnection&) = delete;

  // A new connection; an old one is dropped. Waits for `within` at most, by default the leader time-out, of which
  // each of several hosts gets its share, until one is found whose database may be written. Refuses a server that is
  // older than PostgreSQL 14, a database whose encoding is not UTF-8, and one that may only be read.
  void Connect() { Connect(options_.leader_timeout); }
  void Connect(Duration within);
  // Of the last Connect(): tells two servers apart, and one from what it was before a replica was promoted. Within
  // one history the id of a transaction means the same transaction.
  const std::string& history() const { return history_; }
  bool connected() const { return connection_ != nullptr; }
  // Whether a transaction of that history was committed whose COMMIT was under way when its connection was lost.
  // Connects, for twice the leader time-out if need be. Nothing: it cannot be found out.
  std::optional<bool> FindOutcome(const std::string& transaction, const std::string& history);

  // The answer is looked at by the next Query: an error is thrown there.
  void Send(std::string_view sql, const PostgresqlValues& values = {});
  PostgresqlRows Query(std::string_view sql, const PostgresqlValues& values = {});
  PostgresqlRows Query(std::string_view sql, const PostgresqlValues& values, Duration answer_within);
  // `into`: the table and its columns.
  void Copy(std::string_view into, PostgresqlCopy rows);
  // Several statements without parameters in one transaction.
  void Script(const std::string& sql);

  // Until `duration` has passed or the event is raised, which is an error.
  void Pause(Duration duration);

  // Closes it and throws.
  [[noreturn]] void Fail(const std::string& why, PostgresqlError::Cause cause);
  // Throws: what is in the database cannot be used, and a person must act. One sentence.
  [[noreturn]] void Refuse(const std::string& why);
  // The same for what was read and cannot be.
  [[noreturn]] void RefuseDamage() { Refuse("it is damaged; put a sound copy in its place"); }

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
  std::string warning_;  // SQLSTATE 01000, as a COMMIT gives that did not wait for replicas; of the last Query
  // Statement to name; of this connection, and kept as long as it: what varies is a value, never part of the text.
  std::map<std::string, std::string, std::less<>> prepared_;
};

}  // namespace dicom_sender
