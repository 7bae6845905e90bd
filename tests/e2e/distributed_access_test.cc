// Access to the coordinator: versions, garbage, keys, addresses, and the health that the programs report.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <zmq.hpp>

#include "proto/validate.h"
#include "tests/e2e/migration_fixture.h"
#include "transport/channel.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr int kPatienceMs = 60'000;
constexpr unsigned kOtherVersion = kProtocolVersion + 1;

class DistributedAccessTest : public MigrationTest {
 protected:
  std::string Metrics() const { return "127.0.0.1:" + std::to_string(metrics_port_.number()); }
  double RefusedMessages() const { return Metric(metrics_port_.number(), "dicom_sender_messages_refused_total"); }

  ReservedPort metrics_port_;
};

// --- versions and garbage

// A client that sends what none of our programs would send.
class RawPeer {
 public:
  explicit RawPeer(const std::string& endpoint) {
    socket_.set(zmq::sockopt::linger, 0);
    socket_.set(zmq::sockopt::rcvtimeo, kPatienceMs);
    socket_.connect(endpoint);
  }
  void Send(const std::string& bytes) { socket_.send(zmq::buffer(bytes)); }
  void SendInTwoFrames(const std::string& bytes) {
    socket_.send(zmq::buffer(bytes), zmq::send_flags::sndmore);
    socket_.send(zmq::buffer(bytes));
  }
  wire::Refusal Refusal() {
    zmq::message_t frame;
    EXPECT_TRUE(socket_.recv(frame)) << "no answer";
    wire::FromCoordinator envelope;
    EXPECT_TRUE(envelope.ParseFromString(frame.to_string()) && envelope.has_refusal()) << envelope.DebugString();
    return envelope.refusal();
  }

 private:
  zmq::context_t context_;
  zmq::socket_t socket_{context_, zmq::socket_type::dealer};
};

TEST_F(DistributedAccessTest, APeerOfAnotherVersionIsRefusedPermanently) {
  StartCoordinator({"--metrics", Metrics()});
  EXPECT_EQ(RefusedMessages(), 0);
  wire::WorkerMessage message;
  message.mutable_status()->set_worker_id("w0");
  wire::ToCoordinator envelope = Envelope(std::move(message));
  envelope.set_protocol_version(kOtherVersion);
  RawPeer peer(endpoint());
  peer.Send(envelope.SerializeAsString());
  const wire::Refusal refusal = peer.Refusal();
  EXPECT_TRUE(refusal.for_good());
  EXPECT_THAT(refusal.reason(), HasSubstr(std::to_string(kOtherVersion)));
  EXPECT_EQ(RefusedMessages(), 1);
  EXPECT_THAT(Ctl({"workers"}).output, testing::Not(HasSubstr("w0")));
}

TEST_F(DistributedAccessTest, GarbageIsRefusedWithoutSideEffects) {
  const auto instances = WriteExampleStudies(data(), 2, 10);
  StartDestination();
  StartCoordinator({"--metrics", Metrics()});
  RawPeer peer(endpoint());
  const std::string garbage(1000, '\xff');
  for (const std::string& bytes : {std::string(), std::string("GET / HTTP/1.1\r\n\r\n"), garbage}) {
    peer.Send(bytes);
    EXPECT_FALSE(peer.Refusal().reason().empty());
  }
  peer.SendInTwoFrames(Envelope(wire::ClientRequest()).SerializeAsString());
  EXPECT_FALSE(peer.Refusal().reason().empty());
  EXPECT_EQ(RefusedMessages(), 4);
  // This is not ZeroMQ: the coordinator closes the connection before any message.
  EXPECT_EQ(Get(coordinator_port_.number(), "/"), "");
  StartWorker("w0");
  EXPECT_EQ(ExpectAllStored(Feed(), instances), 0U);
}

// A coordinator of another version, which answers everything with its own envelope.
class FakeCoordinator {
 public:
  explicit FakeCoordinator(const std::string& endpoint) : channel_(context_, endpoint) {
    thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
  }

 private:
  void Run(const std::stop_token& stop) {
    wire::FromCoordinator envelope = Envelope(wire::CoordinatorMessage());
    envelope.set_protocol_version(kOtherVersion);
    while (!stop.stop_requested()) {
      zmq::pollitem_t item{channel_.socket().handle(), 0, ZMQ_POLLIN, 0};
      zmq::poll(&item, 1, milliseconds(100));
      while (const auto message = channel_.Receive()) channel_.Send(message->peer, envelope);
    }
  }

  zmq::context_t context_;
  RouterChannel channel_;
  std::jthread thread_;  // declared last: the thread uses the other members
};

TEST_F(DistributedAccessTest, ACoordinatorOfAnotherVersionEndsEveryProgram) {
  WriteExampleStudies(data(), 1, 1);
  const FakeCoordinator fake(endpoint());
  Program& worker = StartWorker("w0");
  Program& indexer = Indexer(NewSession());
  indexer.Start();
  EXPECT_EQ(worker.Wait(), 3);
  EXPECT_EQ(indexer.Wait(), 2);
  const ProcessResult ctl = Ctl({"sessions"});
  EXPECT_NE(ctl.end, (ProcessEnd{0, 0}));
  for (const std::string& errors : {worker.Errors(), indexer.Errors(), ctl.errors}) {
    EXPECT_THAT(errors, HasSubstr("version " + std::to_string(kOtherVersion)));
  }
}

// --- keys

class KeysTest : public DistributedAccessTest {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(allowed_);
    for (const char* name : {"coordinator", "worker", "operator", "stranger"}) {
      EXPECT_EQ(Ctl({"keygen", name, "--output-dir", folder_.path()}).end, (ProcessEnd{0, 0}));
    }
    for (const char* name : {"worker", "operator"}) Allow(name);
  }
  void Allow(const std::string& name) {
    std::filesystem::copy_file(folder_ / (name + ".key"), allowed_ / (name + ".key"));
  }
  Words Server() const { return {"--server-key", folder_ / "coordinator.key_secret", "--client-keys", allowed_}; }
  Words Client(const std::string& name) const {
    return {"--server-key", folder_ / "coordinator.key", "--client-key", folder_ / (name + ".key_secret")};
  }
  ProcessResult ListSessions(const Words& keys) const {
    Words words = {"sessions", "--timeout", "2"};
    words.insert(words.end(), keys.begin(), keys.end());
    return Ctl(words);
  }

  const std::filesystem::path allowed_ = folder_ / "allowed";
};

TEST_F(KeysTest, ASessionIsSentWithKeys) {
  const auto instances = WriteExampleStudies(data(), 2, 10);
  StartDestination();
  StartCoordinator(Server());
  StartWorker("w0", Client("worker"));
  const std::string session = Feed(Client("operator"));
  EXPECT_THAT(ListSessions(Client("operator")).output, HasSubstr(session));
  EXPECT_EQ(ExpectAllStored(session, instances), 0U);
}

TEST_F(KeysTest, AClientWithoutAKeyIsRefused) {
  Program& coordinator = StartCoordinator(Server());
  EXPECT_EQ(ListSessions(Client("stranger")).end, (ProcessEnd{3, 0}));
  EXPECT_TRUE(coordinator.WaitForText("with the unknown key")) << coordinator.Errors();
  EXPECT_EQ(ListSessions({}).end, (ProcessEnd{3, 0}));
  EXPECT_TRUE(coordinator.WaitForText("start it with --server-key and --client-key")) << coordinator.Errors();
  EXPECT_EQ(
      ListSessions({"--server-key", folder_ / "stranger.key", "--client-key", folder_ / "operator.key_secret"}).end,
      (ProcessEnd{3, 0}));
  Allow("stranger");
  EXPECT_EQ(ListSessions(Client("stranger")).end, (ProcessEnd{0, 0})) << "a new key needs no restart";
}

// --- addresses and files

TEST_F(DistributedAccessTest, AccessFromOtherMachinesNeedsKeysOrInsecure) {
  const std::string open = "tcp://*:" + std::to_string(coordinator_port_.number());
  Program& refused = Coordinator({"--bind", open});
  refused.Start();
  EXPECT_EQ(refused.Wait(), 2);
  EXPECT_THAT(refused.Errors(), HasSubstr("is open to other machines"));
  StartCoordinator({"--bind", open, "--insecure"});
  EXPECT_EQ(Ctl({"sessions"}).end, (ProcessEnd{0, 0}));
}

TEST_F(DistributedAccessTest, ASecondCoordinatorOnALedgerOrPortIsRefused) {
  StartCoordinator();
  const ReservedPort other;
  Program& same_ledger = Coordinator({"--bind", "tcp://127.0.0.1:" + std::to_string(other.number())});
  same_ledger.Start();
  EXPECT_EQ(same_ledger.Wait(), 2);
  EXPECT_THAT(same_ledger.Errors(), HasSubstr("another process has it open"));
  Program& same_port = Coordinator({"--ledger", folder_ / "other.db"});
  same_port.Start();
  EXPECT_EQ(same_port.Wait(), 2);
  EXPECT_THAT(same_port.Errors(), HasSubstr("--bind: cannot listen on '" + endpoint() + "'"));
  EXPECT_EQ(Ctl({"sessions"}).end, (ProcessEnd{0, 0})) << "the first one goes on";
}

// --- health

TEST_F(DistributedAccessTest, AWorkerIsReadyWhileTheCoordinatorAnswers) {
  const auto instances = WriteExampleStudies(data(), 2, 10);
  StartDestination();
  const std::uint16_t port = metrics_port_.number();
  Program& worker = StartWorker("w0", {"--metrics", Metrics()});
  ASSERT_TRUE(Eventually([port] { return Status(port, "/healthz") == 200; })) << worker.Errors();
  EXPECT_EQ(Status(port, "/readyz"), 503);

  const ReservedPort other;
  Program& coordinator = StartCoordinator({"--metrics", "127.0.0.1:" + std::to_string(other.number())});
  EXPECT_TRUE(Eventually([port] { return Status(port, "/readyz") == 200; })) << Get(port, "/readyz");
  EXPECT_EQ(Status(other.number(), "/healthz"), 200);
  EXPECT_EQ(Status(other.number(), "/readyz"), 200);

  coordinator.Kill();
  EXPECT_TRUE(Eventually([port] { return Status(port, "/readyz") == 503; }));
  EXPECT_THAT(Get(port, "/readyz"), HasSubstr("the coordinator has not answered"));
  EXPECT_EQ(Status(port, "/healthz"), 200) << "there is nothing wrong with the worker";

  StartAndListen(coordinator);
  EXPECT_TRUE(Eventually([port] { return Status(port, "/readyz") == 200; })) << Get(port, "/readyz");
  EXPECT_EQ(ExpectAllStored(Feed(), instances), 0U);
}

}  // namespace
}  // namespace dicom_sender
