#include "tests/support/connection_cutter.h"

#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <memory>

#include "tests/support/postgresql_server.h"

namespace dicom_sender {
namespace {

using Moment = ConnectionCutter::Moment;
using Passage = ConnectionCutter::Passage;
using std::chrono::seconds;

constexpr seconds kPatience{30};

struct Close {
  void operator()(PGconn* connection) const { PQfinish(connection); }
  void operator()(PGresult* result) const { PQclear(result); }
};

class ConnectionCutterTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!PostgresqlServer::Available()) GTEST_SKIP() << PostgresqlServer::WhyUnavailable();
    database_ = PostgresqlServer::Shared().CreateDatabase();
    cutter_ = std::make_unique<ConnectionCutter>(PostgresqlServer::Shared().port());
    PostgresqlServer::Shared().Query(database_, "CREATE TABLE t (i int); GRANT ALL ON t TO PUBLIC");
    Connect();
  }
  bool Connect() {
    const std::string uri = PostgresqlServer::Shared().Uri(database_, cutter_->port()) + "?connect_timeout=30";
    connection_.reset(PQconnectdb(uri.c_str()));
    return PQstatus(connection_.get()) == CONNECTION_OK;
  }
  bool Run(const char* sql) {
    const std::unique_ptr<PGresult, Close> result(PQexec(connection_.get(), sql));
    return PQresultStatus(result.get()) == PGRES_COMMAND_OK;
  }
  bool RunPrepared(const char* name) {
    const std::unique_ptr<PGresult, Close> result(
        PQexecPrepared(connection_.get(), name, 0, nullptr, nullptr, nullptr, 0));
    return PQresultStatus(result.get()) == PGRES_COMMAND_OK;
  }
  void Prepare(const char* name, const char* sql) { PQclear(PQprepare(connection_.get(), name, sql, 0, nullptr)); }
  std::string Rows() { return PostgresqlServer::Shared().Query(database_, "SELECT count(*) FROM t"); }
  bool Insert() { return Run("BEGIN") && Run("INSERT INTO t VALUES (1)"); }

  std::string database_;
  std::unique_ptr<ConnectionCutter> cutter_;
  std::unique_ptr<PGconn, Close> connection_;
};

TEST_F(ConnectionCutterTest, CutBeforeTheCommitNothingIsCommitted) {
  cutter_->CutAt("COMMIT", Moment::kBefore);
  ASSERT_TRUE(Insert());
  EXPECT_FALSE(Run("COMMIT"));
  EXPECT_EQ(PQstatus(connection_.get()), CONNECTION_BAD);
  EXPECT_TRUE(cutter_->WaitForCutAt(kPatience));
  EXPECT_EQ(Rows(), "0");
  EXPECT_TRUE(Connect() && Insert() && Run("COMMIT")) << "only once";
  EXPECT_EQ(Rows(), "1");
}

TEST_F(ConnectionCutterTest, CutBeforeTheAnswerItIsCommittedAndTheClientGetsNoAnswer) {
  cutter_->CutAt("COMMIT", Moment::kUnanswered);
  ASSERT_TRUE(Insert());
  EXPECT_FALSE(Run("COMMIT"));
  EXPECT_EQ(PQstatus(connection_.get()), CONNECTION_BAD);
  EXPECT_EQ(Rows(), "1");
}

TEST_F(ConnectionCutterTest, CutAfterTheAnswerTheClientGetsItAndTheNextStatementFails) {
  cutter_->CutAt("COMMIT", Moment::kAnswered);
  ASSERT_TRUE(Insert());
  EXPECT_TRUE(Run("COMMIT"));
  EXPECT_EQ(Rows(), "1");
  EXPECT_TRUE(cutter_->WaitForCutAt(kPatience));
  EXPECT_FALSE(Run("BEGIN"));
}

TEST_F(ConnectionCutterTest, PreparedStatementsAreRecognized) {
  Prepare("begin", "BEGIN");
  Prepare("insert", "INSERT INTO t VALUES (1)");
  Prepare("commit", "COMMIT");
  ASSERT_TRUE(RunPrepared("begin") && RunPrepared("insert") && RunPrepared("commit"));
  cutter_->CutAt("COMMIT", Moment::kUnanswered);
  ASSERT_TRUE(RunPrepared("begin") && RunPrepared("insert"));
  EXPECT_FALSE(RunPrepared("commit"));
  EXPECT_EQ(Rows(), "2");
}

TEST_F(ConnectionCutterTest, InAPipelineEarlierAnswersAreDelivered) {
  cutter_->CutAt("INSERT INTO t VALUES (2)", Moment::kUnanswered);
  ASSERT_TRUE(PQenterPipelineMode(connection_.get()));
  for (const char* sql : {"INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)"}) {
    PQsendQueryParams(connection_.get(), sql, 0, nullptr, nullptr, nullptr, nullptr, 0);
    PQpipelineSync(connection_.get());
  }
  const auto next = [&] {
    const std::unique_ptr<PGresult, Close> result(PQgetResult(connection_.get()));
    return result ? PQresultStatus(result.get()) : PGRES_EMPTY_QUERY;
  };
  EXPECT_EQ(next(), PGRES_COMMAND_OK);
  EXPECT_EQ(next(), PGRES_EMPTY_QUERY) << "of the first one";
  EXPECT_EQ(next(), PGRES_PIPELINE_SYNC);
  EXPECT_EQ(next(), PGRES_FATAL_ERROR);
  EXPECT_EQ(Rows(), "2");
}

TEST_F(ConnectionCutterTest, RefusesConnectionsUntilReopened) {
  cutter_->CutAt("COMMIT", Moment::kUnanswered, Passage::kRefused);
  ASSERT_TRUE(Insert());
  EXPECT_FALSE(Run("COMMIT"));
  EXPECT_FALSE(Connect());
  cutter_->Set(Passage::kOpen);
  EXPECT_TRUE(Connect());
}

TEST_F(ConnectionCutterTest, HoldingPassesNothingAndLosesNothing) {
  cutter_->Set(Passage::kHeld);
  ASSERT_TRUE(PQsendQuery(connection_.get(), "INSERT INTO t VALUES (1)"));
  EXPECT_EQ(Rows(), "0");
  cutter_->Set(Passage::kOpen);
  const std::unique_ptr<PGresult, Close> result(PQgetResult(connection_.get()));
  EXPECT_EQ(PQresultStatus(result.get()), PGRES_COMMAND_OK);
  EXPECT_EQ(Rows(), "1");
}

TEST_F(ConnectionCutterTest, CutAllCutsExistingConnectionsOnly) {
  cutter_->Cut();
  EXPECT_FALSE(Run("BEGIN"));
  EXPECT_TRUE(Connect() && Run("BEGIN"));
}

}  // namespace
}  // namespace dicom_sender
