// A coordinator on a real server that is asked to stop while one of its statements waits for a lock.
#include <gtest/gtest.h>

#include <future>

#include "programs/coordinator/succession.h"
#include "proto/validate.h"
#include "tests/support/network.h"
#include "tests/support/postgresql_server.h"
#include "tests/unit/coordinator/leadership/shared_store.h"
#include "transport/channel.h"

namespace dicom_sender {
namespace {

using std::chrono::seconds;

constexpr seconds kLeaderTimeout(4);

TEST(PostgresqlStopTest, HandsOverThoughAStatementWaitsForALock) {
  if (!PostgresqlServer::Available()) GTEST_SKIP() << PostgresqlServer::WhyUnavailable();
  PostgresqlServer& server = PostgresqlServer::Shared();
  const std::string database = server.CreateDatabase();
  const auto says = [&](const std::string& sql) { return server.Query(database, sql).starts_with('t'); };
  const LedgerStore store = PostgresqlStore(server.Uri(database), kLeaderTimeout);
  ASSERT_TRUE(store.open_leadership(nullptr)) << "the tables are there";

  const TemporaryFolder folder;
  const ReservedPort port;
  CoordinatorOptions options;
  options.bind = "tcp://127.0.0.1:" + std::to_string(port.number());
  options.output_dir = folder.path();
  std::stop_source stop;
  Front front(std::nullopt, stop.get_token());
  const Site site{.options = options,
                  .ledger = "shared",
                  .leader_timeout = kLeaderTimeout,
                  .security = std::nullopt,
                  .front = front};
  auto ended = std::async(std::launch::async, [&] { return RunSuccession(site, store, stop.get_token()); });
  EXPECT_TRUE(Eventually([&] { return says("SELECT leader <> '' FROM leadership"); }));

  auto locked = std::async(std::launch::async, [&] {
    EXPECT_ANY_THROW(server.Query(database, "LOCK TABLE session; SELECT pg_sleep(600)"));
  });
  EXPECT_TRUE(Eventually([&] {
    return says(
        "SELECT count(*) > 0 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = "
        "'session'::regclass");
  }));
  zmq::context_t context;
  DealerChannel client(context, {options.bind});
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
