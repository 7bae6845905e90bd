#include "coordinator/ledger/postgresql/connection.h"

#include <fmt/format.h>
#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <initializer_list>
#include <system_error>
#include <utility>

#include "common/text.h"
#include "coordinator/ledger/postgresql/postgresql_ledger.h"
#include "coordinator/ledger/postgresql/uri.h"

namespace dicom_sender {
namespace {

constexpr int kServerVersionMin = 140'000;  // because of client_connection_check_interval
constexpr int kServerVersionTransactionTimeout = 170'000;
constexpr const char* kMayOnlyBeRead = "25006";
constexpr std::chrono::milliseconds kNoteEvery(1000);

std::int64_t InMilliseconds(Duration duration) {
  return std::max<std::int64_t>(1, std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

// --- error messages for people

std::string FirstLine(std::string_view text) { return ToPrintable(text.substr(0, text.find('\n'))); }

struct Refusal {
  std::string sqlstate;
  std::string message;
};

// For a refused connection, libpq returns the SQLSTATE only in its message ("FATAL:  28P01: ...").
std::optional<Refusal> RefusalIn(const std::string& line) {
  constexpr std::size_t kStateLength = 5;
  for (std::size_t at = line.find(":  "); at != std::string::npos; at = line.find(":  ", at + 1)) {
    const std::string state = line.substr(at + 3, kStateLength);
    const bool is_state = state.size() == kStateLength && std::all_of(state.begin(), state.end(), [](char c) {
                            return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
                          });
    if (is_state && line.substr(at + 3 + kStateLength, 2) == ": ") return Refusal{state, line.substr(at + 10)};
  }
  return std::nullopt;
}

// True if encryption or the server's identity did not meet libpq's requirements. libpq does not translate its
// messages, because this program does not set a locale. A connection that ends during the handshake does not count.
bool IsDistrust(std::string_view line) {
  constexpr std::string_view kDistrust[] = {"SSL was required", "certificate", "private key", "channel binding",
                                            "GSSAPI encryption required"};
  return std::ranges::any_of(kDistrust, [&](std::string_view words) { return line.find(words) != line.npos; });
}

// If this returns false, libpq could not interpret the connection settings.
bool IsAboutAnAddress(std::string_view line) {
  return line.starts_with("connection to server") || line.starts_with("could not translate host name");
}

// The message has lines for each address that was tried. The last answer from a server is the most informative.
struct Failure {
  Refusal refusal;
  bool is_distrust = false;  // only if no server sent an SQLSTATE
};
Failure ParseFailure(std::string_view text) {
  Failure failure{.refusal = {{}, FirstLine(text)}};
  for (; !text.empty();
       text.remove_prefix(std::min(text.size(), text.find('\n')) + (text.find('\n') < text.size()))) {
    const std::string line = FirstLine(text);
    if (auto refusal = RefusalIn(line)) {
      failure = {.refusal = *std::move(refusal)};
    } else if (failure.refusal.sqlstate.empty() && IsDistrust(line)) {
      failure = {.refusal = {{}, line}, .is_distrust = true};
    }
  }
  return failure;
}

bool IsPassing(std::string_view state) {
  constexpr std::string_view kPassing[] = {"53300", "57014", "57P01", "57P02", "57P03", "57P05", "25P03",
                                           "40001", "40P01", "55P03", "53200", "53100", "25006"};
  return state.empty() || state.starts_with("08") || std::ranges::find(kPassing, state) != std::end(kPassing);
}

// Advice for an SQLSTATE. The server's own message may be in another language.
std::string Advice(std::string_view state) {
  if (state == "28P01" || state == "28000") {
    return "the server rejects this user; put the right password into PGPASSWORD, a password file (PGPASSFILE), or a"
           " service file, or check the server's pg_hba.conf";
  }
  if (state == "3D000") return "the database does not exist; create it (createdb), or name another one";
  if (state == "42501")
    return "this user lacks a privilege; grant it CONNECT on the database, and USAGE and CREATE on the schema";
  if (state == "3F000") return "no schema of the search_path exists; create one, or set the search_path";
  if (state == "25006") return "it is read-only; name a writable database";
  if (state == "53100") return "the database's disk is full; free some space; it continues by itself";
  if (state == "53300") return "the server has too many connections; raise its max_connections";
  if (state == "57014") return "a statement took too long; check the server's load";
  if (state == "57P01" || state == "57P02") return "the server was stopped";
  if (state == "57P03") return "the server is starting or stopping";
  if (state == "57P05") return "the server closed an idle connection";
  if (state == "25P03") return "the server ended a transaction that was idle for the leader timeout";
  if (state == "40001" || state == "40P01") return "it conflicted with another transaction";
  if (state == "42P07") {
    return "it has a table or view of this name that does not belong to a ledger; name another database, or put"
           " another schema first in the search_path";
  }
  if (state == "42P01" || state == "42703") return "its tables are not those of a ledger; name another database";
  if (state == "XX001" || state == "XX002") return "it is damaged; restore a backup";
  return "the server rejected a statement";
}

std::string WithAdvice(const Refusal& refusal) {
  return fmt::format("{} ({})", Advice(refusal.sqlstate), refusal.message);
}

bool IsFailure(const PGresult* result) {
  const ExecStatusType status = PQresultStatus(result);
  return status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_EMPTY_QUERY;
}

std::string_view Field(const PGresult* result, int field) {
  const char* text = PQresultErrorField(result, field);
  return text != nullptr ? text : "";
}

// The hosts that libpq derived from the URI, the service file, and the environment.
std::vector<PostgresqlHost> HostsOf(PGconn* connection) {
  const std::unique_ptr<PQconninfoOption, void (*)(PQconninfoOption*)> options(PQconninfo(connection),
                                                                               PQconninfoFree);
  if (!options) throw std::bad_alloc();
  std::map<std::string_view, std::string> lists;
  std::string default_port;
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr) lists[option->keyword] = option->val;
    if (option->keyword == std::string_view("port")) default_port = option->compiled;
  }
  std::vector<PostgresqlHost> hosts = SplitHosts(lists["host"], lists["hostaddr"], lists["port"]);
  for (PostgresqlHost& host : hosts) {
    if (host.port.empty()) host.port = default_port;
  }
  return hosts;
}

}  // namespace

void PostgresqlConnection::Close::operator()(pg_conn* connection) const { PQfinish(connection); }

PostgresqlConnection::PostgresqlConnection(PostgresqlOptions options, Duration answer_within)
    : options_(std::move(options)), answer_within_(answer_within) {}
PostgresqlConnection::~PostgresqlConnection() = default;

void PostgresqlConnection::Fail(const std::string& why, PostgresqlError::Cause cause) {
  connection_.reset();
  throw PostgresqlError(fmt::format("ledger '{}': {}", RedactedUri(options_.uri), why), std::move(cause));
}
void PostgresqlConnection::Refuse(const std::string& why) { Fail(why, {}); }

// libpq's connect_timeout applies only to PQconnectdb(), so libpq does not limit the time per host here. Therefore
// each host gets its share of the time and its own connection attempt.
void PostgresqlConnection::Connect(Duration within) {
  const TimePoint deadline = MonotonicNow() + within;
  std::optional<PostgresqlError> failure;  // with several hosts: from the last server that answered
  Start({});
  const std::vector<PostgresqlHost> hosts = HostsOf(connection_.get());
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    try {
      if (hosts.size() > 1) Start(hosts[i]);
      const TimePoint now = MonotonicNow();
      const TimePoint until = now + (deadline - now) / static_cast<std::int64_t>(hosts.size() - i);
      Establish(until);
      SetUpSession(until);
      return;
    } catch (const PostgresqlError& error) {
      if (!error.cause().passing || GaveUp()) throw;
      if (!failure || !error.cause().sqlstate.empty() || failure->cause().sqlstate.empty()) failure.emplace(error);
    }
  }
  throw *failure;
}

// The non-empty members of `host` override what libpq found.
void PostgresqlConnection::Start(const PostgresqlHost& host) {
  // The connection ends if the server's host is silent or does not acknowledge data that was sent.
  const std::string timeout_ms = std::to_string(InMilliseconds(options_.leader_timeout));
  const std::string timeout_s =
      std::to_string(std::max<std::int64_t>(1, InMilliseconds(options_.leader_timeout) / 3000));
  // libpq expands the URI. Parameters after it override its contents, and its contents override those before it.
  // Kerberos is off unless requested, to avoid a wait for its servers.
  const bool gss_is_set = std::getenv("PGGSSENCMODE") != nullptr;
  std::vector<const char*> names, values;
  for (const auto& [name, value] :
       std::initializer_list<std::pair<const char*, const char*>>{{"gssencmode", gss_is_set ? "" : "disable"},
                                                                  {"dbname", options_.uri.c_str()},
                                                                  {"host", host.host.c_str()},
                                                                  {"hostaddr", host.hostaddr.c_str()},
                                                                  {"port", host.port.c_str()},
                                                                  {"application_name", "dicom-coordinator"},
                                                                  {"client_encoding", "UTF8"},
                                                                  {"tcp_user_timeout", timeout_ms.c_str()},
                                                                  {"keepalives_idle", timeout_s.c_str()},
                                                                  {"keepalives_interval", timeout_s.c_str()},
                                                                  {"keepalives_count", "2"},
                                                                  {nullptr, nullptr}}) {
    names.push_back(name);
    values.push_back(value);
  }
  prepared_.clear();
  connection_.reset();  // close an old one first, because the server limits the number of connections
  connection_.reset(PQconnectStartParams(names.data(), values.data(), /*expand_dbname=*/1));
  if (!connection_) throw std::bad_alloc();
  PQsetErrorVerbosity(connection_.get(), PQERRORS_VERBOSE);  // includes the SQLSTATE
  PQsetNoticeReceiver(
      connection_.get(),
      [](void* self, const PGresult* notice) {
        if (Field(notice, PG_DIAG_SQLSTATE) != "01000") return;
        static_cast<PostgresqlConnection*>(self)->warning_ = ToPrintable(Field(notice, PG_DIAG_MESSAGE_PRIMARY));
      },
      this);
}

void PostgresqlConnection::Establish(TimePoint deadline) {
  if (PQstatus(connection_.get()) == CONNECTION_BAD) FailConnecting(/*tried=*/false);
  for (auto next = PGRES_POLLING_WRITING; next != PGRES_POLLING_OK; next = PQconnectPoll(connection_.get())) {
    if (next == PGRES_POLLING_FAILED) FailConnecting(/*tried=*/true);
    Wait(next == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline);
  }
  if (PQsetnonblocking(connection_.get(), 1) != 0) FailConnecting(/*tried=*/true);
}

void PostgresqlConnection::SetUpSession(TimePoint deadline) {
  if (PQserverVersion(connection_.get()) < kServerVersionMin) {
    Refuse("the server is older than PostgreSQL 14; use a later one");
  }
  const char* encoding = PQparameterStatus(connection_.get(), "server_encoding");
  if (encoding == nullptr || std::string_view(encoding) != "UTF8") {
    Refuse("the database's encoding is not UTF8; create one with createdb --encoding=UTF8 --template=template0");
  }
  const std::int64_t leader_timeout = InMilliseconds(options_.leader_timeout);
  // Commits must be durable whatever the setting of the database; only remote_apply is kept, because it waits for
  // even more. The planner must use the indexes even if the statistics are from a time when a table was empty.
  Simple(fmt::format("SELECT set_config('statement_timeout', '{0}', false),"
                     " set_config('idle_in_transaction_session_timeout', '{1}', false),"
                     " set_config('idle_session_timeout', '0', false), set_config('lock_timeout', '0', false),"
                     " set_config('default_transaction_isolation', 'read committed', false),"
                     " set_config('client_connection_check_interval', '{2}', false),"
                     " set_config('tcp_user_timeout', '{1}', false),"
                     " set_config('standard_conforming_strings', 'on', false),"
                     " set_config('synchronous_commit', CASE current_setting('synchronous_commit')"
                     "   WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false),"
                     " set_config('plan_cache_mode', 'force_generic_plan', false), set_config('jit', 'off', false),"
                     " set_config('enable_seqscan', 'off', false), set_config('enable_hashjoin', 'off', false),"
                     " set_config('enable_mergejoin', 'off', false), set_config('enable_material', 'off', false),"
                     " set_config('enable_bitmapscan', 'off', false), set_config('enable_memoize', 'off', false),"
                     " set_config('enable_sort', 'off', false),"
                     " set_config('max_parallel_workers_per_gather', '0', false)",
                     InMilliseconds(answer_within_), leader_timeout, std::max<std::int64_t>(1, leader_timeout / 4)),
         deadline);
  if (PQserverVersion(connection_.get()) >= kServerVersionTransactionTimeout) {
    Simple("SELECT set_config('transaction_timeout', '0', false)", deadline);
  }
  const PostgresqlRows state =
      Simple("SELECT pg_is_in_recovery()::text, current_setting('default_transaction_read_only')", deadline);
  if (state.Bytes(0, 0) == "true") {
    Fail("the server is a read-only replica; name the primary, or all servers (HOST,HOST)",
         {.passing = true, .lost = true, .sqlstate = kMayOnlyBeRead});
  }
  if (state.Bytes(0, 1) == "on") {
    Fail(
        "it is read-only; reset default_transaction_read_only of the database or the user; it then continues by"
        " itself",
        {.passing = true, .lost = true, .sqlstate = kMayOnlyBeRead});
  }
  history_ = Simple(kHistoryQuery, deadline).Bytes(0, 0);
  EnterPipeline();
}

std::optional<bool> PostgresqlConnection::FindOutcome(const std::string& transaction, const std::string& history) {
  const auto with_id = [&] { return PostgresqlValues().Text(transaction); };
  const TimePoint until = MonotonicNow() + 2 * options_.leader_timeout;
  for (;;) {
    try {
      Connect();
      if (history_ != history) return std::nullopt;  // its transaction ids mean other transactions
      const auto status = Query("SELECT coalesce(pg_xact_status($1::text::xid8), '')", with_id());
      if (status.Bytes(0, 0) == "committed") return true;
      if (status.Bytes(0, 0) == "aborted") return false;
      // The COMMIT may not have reached the server. End the transaction that is still waiting for it.
      Query(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_xid = $1::text::xid8::xid"
          " AND state LIKE 'idle in transaction%'",
          with_id());
    } catch (const PostgresqlError& error) {
      if (!error.cause().lost || !error.cause().passing || GaveUp() || MonotonicNow() >= until) throw;
    }
    if (MonotonicNow() >= until) return std::nullopt;
    Pause(options_.leader_timeout / 50);
  }
}

void PostgresqlConnection::EnterPipeline() {
  if (PQenterPipelineMode(connection_.get()) != 1) FailFor(nullptr);
}

// Afterwards, everything that was sent has been answered.
void PostgresqlConnection::LeavePipeline(TimePoint deadline) {
  if (!connection_) Fail("the connection was lost earlier", {.passing = true, .lost = true});
  if (PQpipelineSync(connection_.get()) != 1) FailFor(nullptr);
  Answer(deadline);
  if (PQexitPipelineMode(connection_.get()) != 1) FailFor(nullptr);
}

void PostgresqlConnection::Wait(short events, TimePoint deadline) {
  std::array<pollfd, 2> polled = {{{PQsocket(connection_.get()), events, 0},
                                   {options_.give_up != nullptr ? options_.give_up->fd() : -1, POLLIN, 0}}};
  for (;;) {
    options_.progress.Note();
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - MonotonicNow()).count();
    if (left <= 0) break;  // checked even if the server keeps sending small pieces
    const int ready =
        poll(polled.data(), polled.size(), static_cast<int>(std::min<std::int64_t>(left, kNoteEvery.count())));
    if (ready < 0 && errno != EINTR) {
      Fail(fmt::format("waiting for the server failed ({})", std::generic_category().message(errno)),
           {.passing = true, .lost = true});
    }
    if (ready <= 0) continue;
    if (polled[1].revents != 0) Fail("stopped waiting for the server", {.passing = true, .lost = true});
    return;
  }
  Fail("the server does not answer; check whether it is running and reachable", {.passing = true, .lost = true});
}

void PostgresqlConnection::Pause(Duration duration) {
  pollfd give_up = {options_.give_up != nullptr ? options_.give_up->fd() : -1, POLLIN, 0};
  if (poll(&give_up, 1, static_cast<int>(InMilliseconds(duration))) > 0) {
    Fail("stopped waiting for the server", {.passing = true, .lost = true});
  }
}

// Returns a result, or null at the end of a statement's results or if no more results can arrive.
pg_result* PostgresqlConnection::NextResult(TimePoint deadline) {
  for (;;) {
    const int unsent = PQflush(connection_.get());  // the results report a failure
    if (PQisBusy(connection_.get()) == 0) break;
    Wait(static_cast<short>(unsent == 1 ? POLLIN | POLLOUT : POLLIN), deadline);
    if (PQconsumeInput(connection_.get()) == 0) break;
  }
  return PQgetResult(connection_.get());
}

PostgresqlRows PostgresqlConnection::Simple(const std::string& sql, TimePoint deadline) {
  if (PQsendQuery(connection_.get(), sql.c_str()) != 1) FailFor(nullptr);
  return Results(deadline);
}

PostgresqlRows PostgresqlConnection::Results(TimePoint deadline) {
  PostgresqlRows last(nullptr), failure(nullptr);
  while (pg_result* result = NextResult(deadline)) {
    (IsFailure(result) ? failure : last) = PostgresqlRows(result);
  }
  if (failure.get() != nullptr) FailFor(failure.get());
  return last;
}

// Returns the result of the last statement that was sent.
PostgresqlRows PostgresqlConnection::Answer(TimePoint deadline) {
  PostgresqlRows last(nullptr), failure(nullptr);
  for (;;) {
    PostgresqlRows result(NextResult(deadline));
    if (result.get() == nullptr) {  // between two statements
      if (PQstatus(connection_.get()) == CONNECTION_BAD) FailFor(failure.get());
      continue;
    }
    const ExecStatusType status = PQresultStatus(result.get());
    if (status == PGRES_PIPELINE_SYNC) break;
    if (!IsFailure(result.get())) {
      last = std::move(result);
    } else if (status != PGRES_PIPELINE_ABORTED && failure.get() == nullptr) {
      failure = std::move(result);
    }
  }
  if (failure.get() != nullptr) FailFor(failure.get());
  return last;
}

const std::string& PostgresqlConnection::Prepared(std::string_view sql) {
  auto it = prepared_.find(sql);
  if (it != prepared_.end()) return it->second;
  it = prepared_.emplace(sql, "s" + std::to_string(prepared_.size())).first;
  if (PQsendPrepare(connection_.get(), it->second.c_str(), it->first.c_str(), 0, nullptr) != 1) FailFor(nullptr);
  return it->second;
}

void PostgresqlConnection::Send(std::string_view sql, const PostgresqlValues& values) {
  if (!connection_) Fail("the connection was lost earlier", {.passing = true, .lost = true});
  std::vector<const char*> bytes;
  std::vector<int> lengths;
  for (const auto& value : values.values_) {
    bytes.push_back(value ? value->data() : nullptr);
    lengths.push_back(value ? static_cast<int>(value->size()) : 0);
  }
  const std::vector<int> binary(bytes.size(), 1);
  const std::string& name = Prepared(sql);
  if (PQsendQueryPrepared(connection_.get(), name.c_str(), static_cast<int>(bytes.size()), bytes.data(),
                          lengths.data(), binary.data(), /*resultFormat=*/1) != 1) {
    FailFor(nullptr);
  }
}

PostgresqlRows PostgresqlConnection::Query(std::string_view sql, const PostgresqlValues& values) {
  return Query(sql, values, answer_within_);
}

PostgresqlRows PostgresqlConnection::Query(std::string_view sql, const PostgresqlValues& values,
                                           Duration answer_within) {
  warning_.clear();
  Send(sql, values);
  if (PQpipelineSync(connection_.get()) != 1) FailFor(nullptr);
  PostgresqlRows answer = Answer(MonotonicNow() + answer_within);
  if (!warning_.empty() && answer.tag() == "COMMIT") {
    Fail(fmt::format("a transaction was committed here, but perhaps not on the server's replicas ({})", warning_),
         {.passing = true});
  }
  return answer;
}

void PostgresqlConnection::Script(const std::string& sql) {
  const TimePoint deadline = MonotonicNow() + answer_within_;
  LeavePipeline(deadline);
  Simple(sql, deadline);
  EnterPipeline();
}

void PostgresqlConnection::Copy(std::string_view into, PostgresqlCopy rows) {
  const TimePoint deadline = MonotonicNow() + answer_within_;
  LeavePipeline(deadline);
  if (PQsendQuery(connection_.get(), fmt::format("COPY {} FROM STDIN (FORMAT binary)", into).c_str()) != 1) {
    FailFor(nullptr);
  }
  const PostgresqlRows begun(NextResult(deadline));
  if (PQresultStatus(begun.get()) != PGRES_COPY_IN) FailFor(begun.get());
  rows.End();
  // libpq buffers the data, and the wait for the answer sends it.
  if (PQputCopyData(connection_.get(), rows.data_.data(), static_cast<int>(rows.data_.size())) != 1 ||
      PQputCopyEnd(connection_.get(), nullptr) != 1) {
    FailFor(nullptr);
  }
  Results(deadline);
  EnterPipeline();
}

// `tried`: at least one address was tried.
void PostgresqlConnection::FailConnecting(bool tried) {
  const auto [refusal, is_distrust] = ParseFailure(PQerrorMessage(connection_.get()));
  if (PQconnectionNeedsPassword(connection_.get()) != 0) {
    Fail(WithAdvice({"28P01", refusal.message}), {.lost = true, .sqlstate = "28P01"});
  }
  if (!refusal.sqlstate.empty()) {
    Fail(WithAdvice(refusal), {.passing = IsPassing(refusal.sqlstate), .lost = true, .sqlstate = refusal.sqlstate});
  }
  if (is_distrust) {
    Fail(fmt::format("the connection is not as secure as required; check sslmode, sslrootcert, and the server's"
                     " certificate ({})",
                     refusal.message),
         {.lost = true});
  }
  if (!tried && !IsAboutAnAddress(refusal.message)) {
    Fail(fmt::format("the connection settings are invalid; check the URI, the service file, and the PG* variables"
                     " ({})",
                     refusal.message),
         {.lost = true});
  }
  Fail(fmt::format("the server cannot be reached; check whether it is running ({})", refusal.message),
       {.passing = true, .lost = true});
}

// `result`: the server's answer, if it sent one.
void PostgresqlConnection::FailFor(const pg_result* result) {
  const bool lost = PQstatus(connection_.get()) == CONNECTION_BAD;
  const std::string state(result != nullptr ? Field(result, PG_DIAG_SQLSTATE) : "");
  if (state.empty()) {
    const std::string message = FirstLine(PQerrorMessage(connection_.get()));
    Fail(fmt::format("the connection to the server was lost ({})", message), {.passing = true, .lost = true});
  }
  Fail(WithAdvice({state, ToPrintable(Field(result, PG_DIAG_MESSAGE_PRIMARY))}),
       {.passing = IsPassing(state), .lost = lost, .sqlstate = state});
}

}  // namespace dicom_sender
