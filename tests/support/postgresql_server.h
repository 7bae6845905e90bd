// A PostgreSQL server with a temporary data folder, for tests only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/network.h"
#include "tests/support/process.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {

// Listens on 127.0.0.1. If the tests run as root, it runs as the user `postgres`, because it refuses to run as root.
// Ends with the thread that has started it, in any case. All users can log in without a password, except for those of
// AddUserWithPassword. Not thread-safe. All functions throw std::runtime_error with the server's error.
class PostgresqlServer {
 public:
  // kFast writes a checkpoint; kImmediate requires recovery at the next start.
  enum class StopMode { kFast, kImmediate };

  // Empty if it can be started here; otherwise the reason why not, for GTEST_SKIP.
  static std::string WhyUnavailable();
  static bool Available() { return WhyUnavailable().empty(); }
  // The server that all tests of a program share. The first call starts it.
  static PostgresqlServer& Shared();

  // Starts it. `settings`: "name=value", as in postgresql.conf. By default it does not flush to disk, which makes no
  // difference to a killed process. Benchmarks and tests of power failures set "fsync=on".
  explicit PostgresqlServer(std::vector<std::string> settings = {});
  ~PostgresqlServer();
  PostgresqlServer(const PostgresqlServer&) = delete;
  PostgresqlServer& operator=(const PostgresqlServer&) = delete;

  // Creates an empty database that is owned by the user of Uri(), who is not a superuser. Returns its name.
  std::string CreateDatabase();
  // `port` is the port of a proxy such as ConnectionCutter; 0: the server's port.
  std::string Uri(const std::string& database, std::uint16_t port = 0) const;
  // Returns the URI for another user; see AddUserWithPassword.
  std::string UriOf(const std::string& user, const std::string& database) const;
  // Adds a user that must log in with this password (SCRAM). The user may create databases but owns none.
  void AddUserWithPassword(const std::string& user, const std::string& password);
  // Runs a query as superuser on a new connection. Rows are lines, columns are separated by '|', NULL is empty.
  std::string Query(const std::string& database, const std::string& sql) const;

  std::uint16_t port() const { return port_.number(); }
  // A folder that is writable for the server.
  const std::filesystem::path& folder() const { return folder_.path(); }
  // Returns the server's log since its last start.
  std::string Log() const { return process_ ? process_->Errors() : ""; }

  void Start();  // starts again on the same port
  void Stop(StopMode mode);
  // Simulates kill -9 of the server's main process. Returns when its other processes have ended: until then they may
  // still commit.
  void Kill();

 private:
  void Initialise();
  std::vector<std::string> AsItsUser(const std::string& program, const std::vector<std::string>& arguments) const;

  const std::vector<std::string> settings_;
  ReservedPort port_;
  TemporaryFolder folder_;
  std::unique_ptr<ChildProcess> process_;
  int databases_ = 0;
};

}  // namespace dicom_sender
