#include "tests/support/postgresql_server.h"

#include <gmock/gmock.h>

namespace dicom_sender {
namespace {

using testing::HasSubstr;

TEST(PostgresqlServerTest, CommittedDataSurvivesEachKindOfStop) {
  if (!PostgresqlServer::Available()) GTEST_SKIP() << PostgresqlServer::WhyUnavailable();
  PostgresqlServer& server = PostgresqlServer::Shared();
  const std::string database = server.CreateDatabase();
  server.Query(database, "CREATE TABLE t (i int, word text)");
  const std::uint16_t port = server.port();

  server.Query(database, "INSERT INTO t VALUES (1, 'one')");
  server.Kill();
  server.Start();
  server.Query(database, "INSERT INTO t VALUES (2, NULL)");
  server.Stop(PostgresqlServer::StopMode::kImmediate);
  server.Start();
  server.Query(database, "INSERT INTO t VALUES (3, 'three')");
  server.Stop(PostgresqlServer::StopMode::kFast);
  server.Start();

  EXPECT_EQ(server.Query(database, "SELECT * FROM t ORDER BY i"), "1|one\n2|\n3|three");
  EXPECT_EQ(server.port(), port);
}

TEST(PostgresqlServerTest, EachDatabaseIsNewAndOwnedByAnUnprivilegedUser) {
  if (!PostgresqlServer::Available()) GTEST_SKIP() << PostgresqlServer::WhyUnavailable();
  PostgresqlServer& server = PostgresqlServer::Shared();
  const std::string database = server.CreateDatabase();
  EXPECT_NE(database, server.CreateDatabase());
  EXPECT_EQ(server.Query(database,
                         "SELECT rolname, rolsuper FROM pg_database JOIN pg_roles r ON r.oid = datdba"
                         " WHERE datname = '" +
                             database + "'"),
            "dicom_sender|f");
}

TEST(PostgresqlServerTest, ReportsAFailedStatement) {
  if (!PostgresqlServer::Available()) GTEST_SKIP() << PostgresqlServer::WhyUnavailable();
  try {
    PostgresqlServer::Shared().Query("postgres", "SELECT nothing");
    FAIL() << "it was taken";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("column \"nothing\" does not exist"));
  }
}

}  // namespace
}  // namespace dicom_sender
