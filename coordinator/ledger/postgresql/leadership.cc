#include "coordinator/ledger/leadership.h"

#include "coordinator/ledger/postgresql/postgresql_ledger.h"
#include "coordinator/ledger/postgresql/schema.h"

namespace dicom_sender {
namespace {

std::int64_t InMilliseconds(Duration duration) {
  return std::chrono::ceil<std::chrono::milliseconds>(duration).count();
}

class PostgresqlLeadership : public Leadership {
 public:
  explicit PostgresqlLeadership(const PostgresqlOptions& options)
      : leader_timeout_(options.leader_timeout),
        try_within_(options.leader_timeout / 4),
        connection_(options, options.leader_timeout) {}

  LeaderRecord Look() override;
  std::optional<LeaderRecord> Take(const LeaderRecord& seen, std::string_view leader) override;
  bool Renew(std::uint64_t epoch) override;
  bool Release(std::uint64_t epoch) override;

 private:
  PostgresqlRows Query(std::string_view sql, const PostgresqlValues& values, Duration within);
  std::optional<LeaderRecord> TryTake(const LeaderRecord& seen, std::string_view leader);
  bool EndTransactionsOf(const LeaderRecord& seen);

  const Duration leader_timeout_;
  const Duration try_within_;  // leaves time for another try before the timeout
  PostgresqlConnection connection_;
};

// Reconnects first if the connection was lost earlier.
PostgresqlRows PostgresqlLeadership::Query(std::string_view sql, const PostgresqlValues& values, Duration within) {
  const TimePoint deadline = MonotonicNow() + within;
  if (!connection_.connected()) connection_.Connect(within);
  return connection_.Query(sql, values, deadline - MonotonicNow());
}

LeaderRecord PostgresqlLeadership::Look() {
  const PostgresqlRows rows = Query(
      "SELECT epoch, leader, renewals, leader_timeout_ms, (SELECT max(version) FROM ledger_schema) FROM leadership",
      {}, leader_timeout_);
  if (rows.size() != 1) connection_.RefuseDamage();
  CheckSchemaVersion(connection_, rows.Int(0, 4));  // it may have been migrated to a newer release in the meantime
  return {.epoch = static_cast<std::uint64_t>(rows.Int(0, 0)),
          .leader = rows.Text(0, 1),
          .renewals = static_cast<std::uint64_t>(rows.Int(0, 2)),
          .leader_timeout = std::chrono::milliseconds(rows.Int(0, 3))};
}

// The epoch is a key column, so to change it, the server waits for all transactions that locked the row FOR KEY
// SHARE.
std::optional<LeaderRecord> PostgresqlLeadership::TryTake(const LeaderRecord& seen, std::string_view leader) {
  Query("SELECT set_config('lock_timeout', $1::bigint::text, false)",
        PostgresqlValues().Int(InMilliseconds(try_within_)), leader_timeout_);
  const PostgresqlRows taken = Query(
      "UPDATE leadership SET epoch = epoch + 1, leader = $4::text, renewals = 0, leader_timeout_ms = $5::bigint"
      " WHERE epoch = $1::bigint AND leader = $2::text AND renewals = $3::bigint",
      PostgresqlValues()
          .Int(static_cast<std::int64_t>(seen.epoch))
          .Text(seen.leader)
          .Int(static_cast<std::int64_t>(seen.renewals))
          .Text(leader)
          .Int(InMilliseconds(leader_timeout_)),
      2 * try_within_);
  if (taken.affected() == 0) return std::nullopt;
  return LeaderRecord{
      .epoch = seen.epoch + 1, .leader = std::string(leader), .renewals = 0, .leader_timeout = leader_timeout_};
}

// Ends the transactions that hold this lock, which only a ledger takes. If one is open although its leader has not
// renewed, its program was stopped or cut off. Returns false if there was none.
bool PostgresqlLeadership::EndTransactionsOf(const LeaderRecord& seen) {
  constexpr std::string_view kLacksRight = "42501";
  try {
    const PostgresqlRows ended = Query(
        "SELECT pg_terminate_backend(l.pid) FROM leadership r, pg_locks l WHERE r.epoch = $1::bigint"
        " AND r.leader = $2::text AND r.renewals = $3::bigint AND l.locktype = 'relation' AND l.granted"
        " AND l.relation = 'leadership'::regclass AND l.mode = 'RowShareLock' AND l.pid <> pg_backend_pid()"
        " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        PostgresqlValues()
            .Int(static_cast<std::int64_t>(seen.epoch))
            .Text(seen.leader)
            .Int(static_cast<std::int64_t>(seen.renewals)),
        leader_timeout_);
    return ended.size() > 0;
  } catch (const PostgresqlError& error) {
    if (error.cause().sqlstate != kLacksRight) throw;
    connection_.Fail(
        "an open transaction of the former leader blocks the takeover and belongs to another role, so it cannot be"
        " ended; all coordinators must use the same role",
        error.cause());
  }
}

std::optional<LeaderRecord> PostgresqlLeadership::Take(const LeaderRecord& seen, std::string_view leader) {
  constexpr std::string_view kLockNotAvailable = "55P03";
  try {
    return TryTake(seen, leader);
  } catch (const PostgresqlError& error) {
    if (error.cause().sqlstate != kLockNotAvailable || !EndTransactionsOf(seen)) throw;
  }
  return std::nullopt;
}

// A renewal that hangs must not use up the whole lease.
bool PostgresqlLeadership::Renew(std::uint64_t epoch) {
  return Query("UPDATE leadership SET renewals = renewals + 1 WHERE epoch = $1::bigint AND leader <> ''",
               PostgresqlValues().Int(static_cast<std::int64_t>(epoch)), try_within_)
             .affected() > 0;
}

bool PostgresqlLeadership::Release(std::uint64_t epoch) {
  return Query("UPDATE leadership SET leader = '' WHERE epoch = $1::bigint",
               PostgresqlValues().Int(static_cast<std::int64_t>(epoch)), leader_timeout_)
             .affected() > 0;
}

}  // namespace

tl::expected<std::unique_ptr<Leadership>, LedgerTrouble> OpenLeadership(const PostgresqlOptions& options) {
  try {
    PostgresqlConnection connection(options, kLongestStatement);
    connection.Connect();
    PrepareSchema(connection);
    return std::make_unique<PostgresqlLeadership>(options);
  } catch (const PostgresqlError& error) {
    return tl::unexpected(LedgerTrouble{error.what(), error.cause().passing});
  }
}

}  // namespace dicom_sender
