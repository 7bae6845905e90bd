#include "tests/support/postgresql_server.h"

#include <fmt/format.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pwd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <stdexcept>
#include <system_error>

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kPatience{60'000};  // for a busy machine
constexpr const char* kSuperuser = "postgres";
constexpr const char* kUser = "dicom_sender";
constexpr const char* kPasswordUsers = "password_users";  // members of this role need a password

bool IsRoot() { return geteuid() == 0; }

// Debian installs the programs outside PATH, in a folder per version. Empty if there are none.
std::filesystem::path ProgramFolder() {
  const std::filesystem::path in_path = FindProgram("initdb");
  if (!in_path.empty()) return std::filesystem::canonical(in_path).parent_path();
  std::vector<std::filesystem::path> folders;
  std::error_code missing;
  for (const auto& version : std::filesystem::directory_iterator("/usr/lib/postgresql", missing)) {
    if (std::filesystem::exists(version.path() / "bin/initdb")) folders.push_back(version.path() / "bin");
  }
  return folders.empty() ? std::filesystem::path() : *std::max_element(folders.begin(), folders.end());
}

// poll() reports when these processes have ended.
std::vector<UniqueFd> ChildrenOf(pid_t parent) {
  std::vector<UniqueFd> children;
  std::ifstream ids(fmt::format("/proc/{0}/task/{0}/children", parent));
  for (pid_t id = 0; ids >> id;) {
    UniqueFd child(static_cast<int>(syscall(SYS_pidfd_open, id, 0)));
    if (child.valid()) children.push_back(std::move(child));  // otherwise it has already ended
  }
  return children;
}

struct CloseConnection {
  void operator()(PGconn* connection) const { PQfinish(connection); }
  void operator()(PGresult* result) const { PQclear(result); }
};

}  // namespace

std::string PostgresqlServer::WhyUnavailable() {
  if (ProgramFolder().empty()) return "PostgreSQL is not installed";
  if (IsRoot() && getpwnam(kSuperuser) == nullptr) {
    return "PostgreSQL does not run as root, and there is no user 'postgres'";
  }
  return {};
}

PostgresqlServer& PostgresqlServer::Shared() {
  static PostgresqlServer server;
  return server;
}

PostgresqlServer::PostgresqlServer(std::vector<std::string> settings) : settings_(std::move(settings)) {
  if (const std::string reason = WhyUnavailable(); !reason.empty()) throw std::runtime_error(reason);
  Initialise();
  Start();
  Query("postgres", fmt::format("CREATE ROLE {} LOGIN; CREATE ROLE {}", kUser, kPasswordUsers));
}

// Also releases the shared memory, which SIGKILL would leave behind.
PostgresqlServer::~PostgresqlServer() {
  if (!process_) return;
  process_->Signal(SIGQUIT);
  process_->Wait(kPatience);
}

void PostgresqlServer::Initialise() {
  if (const passwd* user = getpwnam(kSuperuser); IsRoot()) {
    if (chown(folder_.path().c_str(), user->pw_uid, user->pw_gid) != 0) {
      throw std::system_error(errno, std::generic_category(), "chown " + folder_.path().string());
    }
  }
  const std::string data = folder_ / "data";
  const ProcessResult result =
      RunProcess(AsItsUser("initdb", {"--pgdata=" + data, "--username=" + std::string(kSuperuser), "--encoding=UTF8",
                                      "--locale=C.UTF-8", "--auth=trust", "--no-sync", "--no-instructions"}),
                 kPatience);
  if (result.end != ProcessEnd{0, 0}) throw std::runtime_error("initdb: " + result.errors);
  std::ofstream(data + "/pg_hba.conf") << "host all +" << kPasswordUsers
                                       << " 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n";
}

std::vector<std::string> PostgresqlServer::AsItsUser(const std::string& program,
                                                     const std::vector<std::string>& arguments) const {
  std::vector<std::string> command = {"setpriv", "--pdeathsig", "QUIT"};
  if (IsRoot()) command.insert(command.end(), {"--reuid", kSuperuser, "--regid", kSuperuser, "--clear-groups"});
  command.push_back(ProgramFolder() / program);
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

// After a kill, the server refuses to start as long as one of its former processes runs.
void PostgresqlServer::Start() {
  std::vector<std::string> arguments = {"-D", folder_ / "data"};
  std::vector<std::string> settings = {"listen_addresses=127.0.0.1", fmt::format("port={}", port()),
                                       "unix_socket_directories=", "fsync=off"};
  settings.insert(settings.end(), settings_.begin(), settings_.end());
  for (const std::string& setting : settings) arguments.insert(arguments.end(), {"-c", setting});
  const auto deadline = steady_clock::now() + kPatience;
  do {
    process_ = std::make_unique<ChildProcess>(AsItsUser("postgres", arguments));
    if (process_->WaitForText("database system is ready to accept connections", kPatience)) return;
  } while (Log().find("is still in use") != std::string::npos && steady_clock::now() < deadline);
  throw std::runtime_error("PostgreSQL does not start: " + Log());
}

void PostgresqlServer::Stop(StopMode mode) {
  process_->Signal(mode == StopMode::kFast ? SIGINT : SIGQUIT);
  if (!process_->Wait(kPatience)) throw std::runtime_error("PostgreSQL does not stop: " + Log());
}

void PostgresqlServer::Kill() {
  const std::vector<UniqueFd> others = ChildrenOf(process_->id());
  process_->Signal(SIGKILL);
  process_->Wait(kPatience);
  for (const UniqueFd& other : others) {
    pollfd end{other.get(), POLLIN, 0};
    if (poll(&end, 1, static_cast<int>(kPatience.count())) != 1) throw std::runtime_error("PostgreSQL does not end");
  }
}

std::string PostgresqlServer::CreateDatabase() {
  std::string name = fmt::format("test_{}", ++databases_);
  Query("postgres", fmt::format("CREATE DATABASE {} OWNER {}", name, kUser));
  return name;
}

void PostgresqlServer::AddUserWithPassword(const std::string& user, const std::string& password) {
  Query("postgres",
        fmt::format("CREATE ROLE {} LOGIN CREATEDB PASSWORD '{}' IN ROLE {}", user, password, kPasswordUsers));
}

std::string PostgresqlServer::Uri(const std::string& database, std::uint16_t port) const {
  return fmt::format("postgresql://{}@127.0.0.1:{}/{}", kUser, port != 0 ? port : this->port(), database);
}

std::string PostgresqlServer::UriOf(const std::string& user, const std::string& database) const {
  return fmt::format("postgresql://{}@127.0.0.1:{}/{}", user, port(), database);
}

std::string PostgresqlServer::Query(const std::string& database, const std::string& sql) const {
  const std::unique_ptr<PGconn, CloseConnection> connection(PQconnectdb(UriOf(kSuperuser, database).c_str()));
  if (PQstatus(connection.get()) != CONNECTION_OK) throw std::runtime_error(PQerrorMessage(connection.get()));
  const std::unique_ptr<PGresult, CloseConnection> result(PQexec(connection.get(), sql.c_str()));
  const ExecStatusType status = PQresultStatus(result.get());
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
    throw std::runtime_error(fmt::format("{}: {}", sql, PQerrorMessage(connection.get())));
  }
  std::string rows;
  for (int row = 0; row < PQntuples(result.get()); ++row) {
    if (row > 0) rows += '\n';
    for (int column = 0; column < PQnfields(result.get()); ++column) {
      if (column > 0) rows += '|';
      rows += PQgetvalue(result.get(), row, column);
    }
  }
  return rows;
}

}  // namespace dicom_sender
