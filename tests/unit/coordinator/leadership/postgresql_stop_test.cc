// Stops a coordinator on a real server while one of its statements waits for a lock.
#include <gtest/gtest.h>

#include <future>

#include "coordinator/leadership/elected_coordinator.h"
#include "proto/validate.h"
#include "tests/support/network.h"
#include "tests/support/postgresql_server.h"
#include "tests/unit/coordinator/leadership/fake_shared_ledger.h"
#include "transport/channel.h"

namespace dicom_sender {
namespace {

using std::chrono::seconds;

constexpr seconds kLeaderTimeout(4);

TEST(PostgresqlStopTest, HandsOverWhileAStatementWaitsForALock) {
  if (!PostgresqlServer::Available()) GTEST_SKIP() << PostgresqlServer::WhyUnavailable();
  PostgresqlServer& server = PostgresqlServer::Shared();
  const std::string database = server.CreateDatabase();
  const auto says = [&](const std::string& sql) { return server.Query(database, sql).starts_with('t'); };
  const SharedLedger ledger = SharedPostgresqlLedger(server.Uri(database), kLeaderTimeout);
  ASSERT_TRUE(ledger.open_leadership(nullptr)) << "this creates the tables";

  const TemporaryFolder folder;
  const ReservedPort port;
  std::stop_source stop;
  StatusEndpoint status(std::nullopt, stop.get_token());
  const CoordinatorContext context{.bind = "tcp://127.0.0.1:" + std::to_string(port.number()),
                                   .output_dir = folder.path(),
                                   .scheduler = {},
                                   .ledger_name = "shared",
                                   .leader_timeout = kLeaderTimeout,
                                   .security = std::nullopt,
                                   .status = status};
  auto ended =
      std::async(std::launch::async, [&] { return RunElectedCoordinator(context, ledger, stop.get_token()); });
  EXPECT_TRUE(Eventually([&] { return says("SELECT leader <> '' FROM leadership"); }));

  auto locked = std::async(std::launch::async, [&] {
    EXPECT_ANY_THROW(server.Query(database, "LOCK TABLE session; SELECT pg_sleep(600)"));
  });
  EXPECT_TRUE(Eventually([&] {
    return says(
        "SELECT count(*) > 0 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = "
        "'session'::regclass");
  }));
  zmq::context_t client_context;
  DealerChannel client(client_context, {context.bind});
  EXPECT_TRUE(client.WaitUntilConnected(kPatience));
  wire::ClientRequest request;
  request.set_request_id(1);
  request.mutable_list_sessions();
  EXPECT_TRUE(client.Send(Envelope(std::move(request))));
  EXPECT_TRUE(Eventually([&] { return says("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"); }));

  const TimePoint begin = MonotonicNow();
  stop.request_stop();
  EXPECT_EQ(ended.wait_for(3 * kLeaderTimeout), std::future_status::ready);
  EXPECT_LT(MonotonicNow() - begin, kLeaderTimeout);
  EXPECT_TRUE(says("SELECT leader = '' FROM leadership"));
  server.Query(database,
               "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LOCK TABLE session%'");
  locked.get();
  EXPECT_TRUE(ended.get());
}

}  // namespace
}  // namespace dicom_sender
