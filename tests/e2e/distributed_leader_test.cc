// Several coordinators, one of which is the leader: every program finds it, and its successor. The standbys are
// fakes.
#include <atomic>
#include <thread>

#include "proto/validate.h"
#include "tests/e2e/migration_fixture.h"
#include "transport/channel.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

// Answers every request with "not the leader".
class StandBy {
 public:
  explicit StandBy(const std::string& endpoint) : channel_(context_, endpoint) {
    thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
  }
  bool WaitForWorker() const {
    return Eventually([this] { return workers_ > 0; });
  }
  bool WaitForClient() const {
    return Eventually([this] { return clients_ > 0; });
  }

 private:
  void Run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      zmq::pollitem_t item{channel_.socket().handle(), 0, ZMQ_POLLIN, 0};
      zmq::poll(&item, 1, milliseconds(50));
      while (const auto message = channel_.Receive()) Answer(*message);
    }
  }
  void Answer(const PeerMessage& message) {
    const auto envelope = ParseToCoordinator(message.bytes);
    ++(envelope && envelope->has_worker() ? workers_ : clients_);
    channel_.Send(message.peer, Envelope(wire::NotLeading()));
  }

  zmq::context_t context_;
  RouterChannel channel_;
  std::atomic<int> workers_ = 0, clients_ = 0;
  std::jthread thread_;  // declared last: the thread uses the other members
};

class DistributedLeaderTest : public MigrationTest {
 protected:
  std::string other_endpoint() const { return "tcp://127.0.0.1:" + std::to_string(other_port_.number()); }
  Words Both() const { return {"--coordinator", other_endpoint() + "," + endpoint()}; }
  static DestinationBehaviour Slow() { return {.rules = {InstanceRule{.delay = milliseconds(20)}}}; }

  const ReservedPort other_port_;
};

TEST_F(DistributedLeaderTest, EveryProgramFindsTheLeader) {
  const auto instances = WriteExampleStudies(data(), 2, 10);
  StartDestination();
  StandBy stand_by(other_endpoint());
  StartCoordinator();
  Program& worker = StartWorker("w0", Both());
  EXPECT_TRUE(stand_by.WaitForWorker());
  const std::string session = Feed(Both());
  EXPECT_TRUE(stand_by.WaitForClient());
  Words sessions = Both();
  sessions.insert(sessions.end(), {"sessions"});
  EXPECT_THAT(Ctl(sessions).output, HasSubstr(session));
  EXPECT_EQ(ExpectAllStored(session, instances), 0U);
  EXPECT_THAT(worker.Errors(), HasSubstr("The coordinator at " + endpoint() + " is the leader"));
}

TEST_F(DistributedLeaderTest, EndpointsMayBeRepeatedOptionsAndUnreachable) {
  StartCoordinator();
  const ProcessResult found = Ctl({"--coordinator", other_endpoint(), "--coordinator", endpoint(), "sessions"});
  EXPECT_EQ(found.end, (ProcessEnd{0, 0})) << found.errors;
}

TEST_F(DistributedLeaderTest, AGroupWithoutALeaderIsReported) {
  StandBy first(endpoint()), second(other_endpoint());
  Words sessions = Both();
  sessions.insert(sessions.end(), {"sessions", "--timeout", "2"});
  const ProcessResult nobody = Ctl(sessions);
  EXPECT_EQ(nobody.end, (ProcessEnd{3, 0}));
  EXPECT_THAT(nobody.errors, HasSubstr("no coordinator of " + other_endpoint() + ", " + endpoint() + " has led"));
}

TEST_F(DistributedLeaderTest, EveryProgramContinuesWithTheNextLeader) {
  const auto instances = WriteExampleStudies(data(), 3, 100);
  StartDestination(Slow());
  auto stand_by = std::make_unique<StandBy>(other_endpoint());
  Program& first = StartCoordinator({"--lease-ttl", "60"});
  Words more = Both();
  more.insert(more.end(), {"-t", "2"});
  Program& worker = StartWorker("w0", more);
  Words watching = Both();
  watching.insert(watching.end(), {"--wait"});
  Program& indexer = Indexer(NewSession(watching));
  indexer.Start();
  const std::string session = SessionOf(indexer);
  ASSERT_TRUE(WaitUntilStored(20));
  first.Kill();
  stand_by.reset();
  const StandBy now_stands_by(endpoint());
  StartCoordinator({"--lease-ttl", "60", "--bind", other_endpoint()});
  EXPECT_EQ(indexer.Wait(), 0) << indexer.Errors();
  EXPECT_EQ(ExpectAllStored(session, instances), 0U) << "its leases go on";
  EXPECT_THAT(worker.Errors(), HasSubstr("The coordinator at " + other_endpoint() + " is the leader"));
}

TEST_F(DistributedLeaderTest, ClientsLeaveAStoppedLeaderAndFindItAgain) {
  const auto instances = WriteExampleStudies(data(), 1, 100);
  StartDestination(Slow());
  Program& coordinator = StartCoordinator({"--lease-ttl", "60"});
  Program& worker = StartWorker("w0", Both());
  const std::string session = Feed();
  ASSERT_TRUE(WaitUntilStored(5));
  coordinator.Signal(SIGSTOP);
  {
    const StandBy stand_by(other_endpoint());
    EXPECT_TRUE(stand_by.WaitForWorker()) << worker.Errors();
    coordinator.Signal(SIGCONT);
    EXPECT_TRUE(WaitUntilStored(instances.size()));
  }
  EXPECT_EQ(ExpectAllStored(session, instances), 0U);
}

}  // namespace
}  // namespace dicom_sender
