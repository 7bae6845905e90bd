#include "coordinator/ledger/views/views.h"

#include <fmt/format.h>

#include <array>
#include <string_view>

#include "client.pb.h"
#include "coordinator/ledger/instance_words.h"
#include "coordinator/ledger/predicates.h"
#include "dicom/dimse_status.h"
#include "proto/words.h"

namespace dicom_sender {
namespace {

// The expressions that differ between the dialects. The arguments are expressions, too.
class Dialect {
 public:
  explicit Dialect(SqlDialect dialect) : sqlite_(dialect == SqlDialect::kSqlite) {}

  // Converts milliseconds since the epoch. NULL stays NULL.
  std::string Time(std::string_view milliseconds) const {
    if (sqlite_) return fmt::format("strftime('%Y-%m-%dT%H:%M:%fZ', {} / 1000.0, 'unixepoch')", milliseconds);
    return fmt::format("timestamptz 'epoch' + {} * interval '1 millisecond'", milliseconds);
  }
  std::string Hex(std::string_view status) const {
    if (sqlite_) return fmt::format("CASE WHEN {0} IS NOT NULL THEN printf('%04X', {0}) END", status);
    return fmt::format("upper(lpad(to_hex({}), 4, '0'))", status);
  }
  // Joins two columns of bytes like JoinPath().
  std::string JoinedPath(std::string_view root, std::string_view path) const {
    return sqlite_ ? fmt::format(
                         "CASE WHEN length({0}) = 0 OR substr({0}, -1) = x'2f' THEN {0} || {1}"
                         " ELSE {0} || '/' || {1} END",
                         root, path)
                   : fmt::format(
                         "CASE WHEN length({0}) = 0 OR substr({0}, length({0})) = '\\x2f'::bytea THEN {0} || {1}"
                         " ELSE {0} || '\\x2f'::bytea || {1} END",
                         root, path);
  }
  // Converts bytes that may not be UTF-8. SQLite takes them unchanged. PostgreSQL does not allow such text, so a
  // value that is not valid UTF-8 is escaped: each byte beyond ASCII becomes \ooo, and each backslash becomes two.
  std::string Text(std::string_view bytes) const {
    if (sqlite_) return fmt::format("CAST({} AS TEXT)", bytes);
    return fmt::format(
        "CASE WHEN encode({0}, 'hex') ~ '{1}' THEN convert_from({0}, 'UTF8') ELSE encode({0}, 'escape') END", bytes,
        kUtf8InHex);
  }

 private:
  // Unicode 15, table 3-7, without NUL.
  static constexpr std::string_view kUtf8InHex =
      "^(?:0[1-9a-f]|[1-7].|(?:c[2-9a-f]|d.|e0[ab].|ed[89].|(?:e[1-9abcef]|f0[9ab].|f[1-3][89ab].|f48.)[89ab].)[89ab]"
      ".)*"
      "$";

  bool sqlite_;
};

// If a session ended in one of these states, its end reason is the reason of its unsettled instances.
constexpr std::array kEndedBadly = {wire::SESSION_UNREACHABLE, wire::SESSION_REFUSED, wire::SESSION_CANCELLED};

std::string SessionState(std::string_view column) {
  const auto& states = *wire::SessionState_descriptor();
  std::string sql = fmt::format("CASE {}", column);
  for (int i = 0; i < states.value_count(); ++i) {
    sql += fmt::format(" WHEN {} THEN '{}'", states.value(i)->number(), EnumWord(*states.value(i)));
  }
  return sql + " END";
}

std::string InstanceStateInWords(std::string_view column) {
  std::string sql = fmt::format("CASE {}", column);
  for (const InstanceState state :
       {InstanceState::kPending, InstanceState::kDelayed, InstanceState::kStored, InstanceState::kStoredWithWarning,
        InstanceState::kFailed, InstanceState::kSkipped, InstanceState::kConflict}) {
    sql += fmt::format(" WHEN {} THEN '{}'", Sql(state), InstanceStateWord(state));
  }
  return sql + " END";
}

std::string StatusMeaningInWords(std::string_view status) {
  std::string sql = fmt::format("CASE WHEN {} IS NULL THEN NULL", status);
  for (const StatusMeaning& row : StatusMeanings()) {
    sql += row.first == row.last
               ? fmt::format(" WHEN {} = {} THEN '{}'", status, row.first, row.words)
               : fmt::format(" WHEN {} BETWEEN {} AND {} THEN '{}'", status, row.first, row.last, row.words);
  }
  return sql + " END";
}

// Names the count columns of a session or study with the words for the states of instances.
std::string CountColumns(std::string_view table) {
  return fmt::format(
      "{0}.total AS instances, {0}.stored, {0}.warned AS stored_with_warning, {0}.failed,"
      " CAST(0 AS bigint) AS abandoned, {0}.skipped, {1} AS unsettled, {0}.conflicts, {0}.retries, {0}.resends, "
      "{0}.associations, {0}.total_bytes, {0}.stored_bytes, {0}.store_us",
      table, UnsettledInstances(fmt::format("{}.", table)));
}

std::string SessionsView(const Dialect& dialect) {
  return fmt::format(
      "CREATE VIEW sessions AS SELECT s.uuid AS session, {state} AS state, {ending} AS ending, s.called_ae,"
      " s.calling_ae, s.host, s.port, {start} AS start_time, {end} AS end_time, s.end_reason,"
      " s.scan_complete <> 0 AS scan_complete, s.studies, {counts}, s.worked_ms FROM session s;\n",
      fmt::arg("state", SessionState("s.state")), fmt::arg("ending", SessionState("s.ending")),
      fmt::arg("start", dialect.Time("s.start_ms")), fmt::arg("end", dialect.Time("s.end_ms")),
      fmt::arg("counts", CountColumns("s")));
}

std::string StudiesView(const Dialect& dialect) {
  return fmt::format(
      "CREATE VIEW studies AS SELECT s.uuid AS session, t.uid AS study_instance_uid, t.accession_number,"
      " CASE WHEN t.lease > 0 THEN 'sending' WHEN {unsettled} THEN 'waiting'"
      " WHEN t.failed + t.conflicts > 0 THEN 'incomplete' ELSE 'complete' END AS state, l.worker,"
      " {first_lease} AS first_lease_time, {last_outcome} AS last_outcome_time, {counts}"
      " FROM study t JOIN session s ON s.key = t.session LEFT JOIN lease l ON l.id = t.lease;\n",
      fmt::arg("unsettled", HasUnsettled("t.")), fmt::arg("first_lease", dialect.Time("t.first_lease_ms")),
      fmt::arg("last_outcome", dialect.Time("t.last_outcome_ms")), fmt::arg("counts", CountColumns("t")));
}

std::string InstancesView(const Dialect& dialect) {
  return fmt::format(
      "CREATE VIEW instances AS SELECT s.uuid AS session, t.uid AS study_instance_uid, t.accession_number,"
      " i.sop_instance AS sop_instance_uid, p.sop_class AS sop_class_uid, p.transfer_syntax AS transfer_syntax_uid,"
      " {path} AS path, i.size AS size_bytes, {state} AS state, {status} AS status, {meaning} AS status_meaning,"
      " CASE WHEN {unsettled} AND {ended_badly} THEN coalesce(i.reason, nullif(s.end_reason, ''))"
      " ELSE i.reason END AS reason, i.attempts, {outcome} AS outcome_time, i.duration_us, "
      " i.may_be_stored <> 0 AS may_be_stored,"
      " CASE WHEN {unsettled} AND i.idx < t.page_end THEN l.worker END AS worker, w.name AS reported_by,"
      " {conflict} AS conflict"
      " FROM instance i JOIN study t ON t.key = i.study JOIN session s ON s.key = t.session"
      " JOIN root r ON r.id = i.root JOIN pair p ON p.id = i.pair LEFT JOIN lease l ON l.id = t.lease"
      " LEFT JOIN worker w ON w.id = i.reported_by;\n",
      fmt::arg("path", dialect.Text(dialect.JoinedPath("r.path", "i.path"))),
      fmt::arg("state", InstanceStateInWords("i.state")), fmt::arg("status", dialect.Hex("i.status")),
      fmt::arg("unsettled", StateIsUnsettled("i.state")), fmt::arg("ended_badly", StateIn(kEndedBadly, "s.state")),
      fmt::arg("conflict", StateIs(InstanceState::kConflict, "i.state")),
      fmt::arg("meaning", StatusMeaningInWords("i.status")), fmt::arg("outcome", dialect.Time("i.outcome_ms")));
}

constexpr const char* kLeasesView =
    "CREATE VIEW leases AS SELECT l.id AS lease, s.uuid AS session, t.uid AS study_instance_uid, l.worker,"
    " t.lease = l.id AS in_force, l.associations FROM lease l JOIN study t ON t.key = l.study"
    " JOIN session s ON s.key = t.session;\n";

std::string NotReadView(const Dialect& dialect) {
  return fmt::format(
      "CREATE VIEW not_read AS SELECT s.uuid AS session, {} AS path, u.folder <> 0 AS is_folder, u.reason"
      " FROM unread u JOIN session s ON s.key = u.session;\n",
      dialect.Text("u.path"));
}

}  // namespace

std::string LedgerViews(SqlDialect which) {
  const Dialect dialect(which);
  return SessionsView(dialect) + StudiesView(dialect) + InstancesView(dialect) + kLeasesView + NotReadView(dialect);
}

std::string DropLedgerViews() {
  std::string sql;
  for (const char* view : {"sessions", "studies", "instances", "leases", "not_read"}) {
    sql += fmt::format("DROP VIEW IF EXISTS {};\n", view);
  }
  return sql;
}

}  // namespace dicom_sender
