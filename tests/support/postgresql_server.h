// A PostgreSQL server as tests start it: of their own, with a data folder of its own that vanishes with it. Nothing
// here is for the product.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/network.h"
#include "tests/support/process.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {

// Listens on 127.0.0.1 and runs as the user `postgres` if the tests run as root, because it refuses to run as root.
// Ends with the thread that has started it, whatever ends that. Everybody may log in without a password, but for
// the users of AddUserWithPassword. One thread. All functions throw std::runtime_error with what the server has said.
class PostgresqlServer {
 public:
  enum class StopMode { kFast, kImmediate };  // fast: with a checkpoint; immediate: it recovers at the next start

  // Empty: it can be started here. Otherwise why not, for GTEST_SKIP.
  static std::string WhyUnavailable();
  static bool Available() { return WhyUnavailable().empty(); }
  // The server that the tests of a program share. It is started by who asks for it first.
  static PostgresqlServer& Shared();

  // Starts it. `settings`: "name=value", as postgresql.conf has them. Without further ado it does not flush to the
  // disk, which a killed process does not notice: whoever measures or cuts the power sets "fsync=on".
  explicit PostgresqlServer(std::vector<std::string> settings = {});
  ~PostgresqlServer();
  PostgresqlServer(const PostgresqlServer&) = delete;
  PostgresqlServer& operator=(const PostgresqlServer&) = delete;

  // A new and empty database, owned by the user of Uri(), who is no superuser. Its name.
  std::string CreateDatabase();
  // `port`: of something that stands before the server, see ConnectionCutter; 0: the server's own.
  std::string Uri(const std::string& database, std::uint16_t port = 0) const;
  // The URI of another user, see AddUserWithPassword.
  std::string UriOf(const std::string& user, const std::string& database) const;
  // What only enters with this password (SCRAM). It may create databases, but owns none.
  void AddUserWithPassword(const std::string& user, const std::string& password);
  // As superuser, on a connection of its own. Rows are lines, columns are separated by '|', NULL is empty.
  std::string Query(const std::string& database, const std::string& sql) const;

  std::uint16_t port() const { return port_.number(); }
  // A folder that the server may write to.
  const std::filesystem::path& folder() const { return folder_.path(); }
  // What the server has logged since it was started the last time.
  std::string Log() const { return process_ ? process_->Errors() : ""; }

  void Start();  // again, on the same port
  void Stop(StopMode mode);
  // kill -9 of the server's first process. Returns when its others have noticed and ended: until then they may
  // commit.
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
