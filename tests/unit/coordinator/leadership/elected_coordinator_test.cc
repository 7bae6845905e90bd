// Coordinators on one shared ledger, each in its own thread with its own port.
#include "coordinator/leadership/elected_coordinator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <mutex>
#include <thread>

#include "proto/validate.h"
#include "tests/support/network.h"
#include "tests/support/process.h"
#include "tests/unit/coordinator/leadership/fake_shared_ledger.h"
#include "transport/channel.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;
using Health = FakeSharedLedger::Health;

constexpr milliseconds kTimeout(500), kLongTimeout(20'000);

class Coordinator {
 public:
  Coordinator(const SharedLedger& ledger, const std::filesystem::path& folder, milliseconds leader_timeout) {
    thread_ = std::thread([this, &ledger, folder, leader_timeout] {
      StatusEndpoint status(http_address(), stop_.get_token());
      const CoordinatorContext context{.bind = endpoint(),
                                       .output_dir = folder,
                                       .scheduler = {},
                                       .ledger_name = "shared",
                                       .leader_timeout = leader_timeout,
                                       .security = std::nullopt,
                                       .status = status};
      result_ = RunElectedCoordinator(context, ledger, stop_.get_token());
      ended_ = true;
    });
  }
  ~Coordinator() {
    if (thread_.joinable()) Stop();
  }

  std::string endpoint() const { return "tcp://127.0.0.1:" + std::to_string(port_.number()); }
  void AskToStop() { stop_.request_stop(); }
  tl::expected<void, std::string> Stop() {
    AskToStop();
    thread_.join();
    return result_;
  }
  bool ended() const { return ended_; }

  // "200 ok"
  std::string Get(const std::string& path) const {
    return RunProcess({"curl", "-s", "--max-time", "20", "-w", "%{http_code}", "http://" + http_address() + path},
                      kPatience)
        .output;
  }
  bool IsLeader() const { return Get("/readyz").starts_with("leading, epoch "); }
  bool IsStandby() const { return Get("/readyz").starts_with("standby"); }
  void Ask(DealerChannel& channel) const {
    EXPECT_TRUE(channel.WaitUntilConnected(kPatience));
    wire::ClientRequest request;
    request.set_request_id(1);
    request.mutable_list_sessions();
    EXPECT_TRUE(channel.Send(Envelope(std::move(request))));
  }
  // Returns its answer to a request on a new connection.
  wire::FromCoordinator Ask() const {
    zmq::context_t context;
    DealerChannel channel(context, {endpoint()});
    Ask(channel);
    std::optional<std::string> answer;
    EXPECT_TRUE(Eventually([&] { return (answer = channel.Receive()).has_value(); }));
    const auto parsed = ParseFromCoordinator(answer.value_or(""));
    EXPECT_TRUE(parsed);
    return parsed ? *parsed : wire::FromCoordinator();
  }

 private:
  std::string http_address() const { return "127.0.0.1:" + std::to_string(http_.number()); }

  ReservedPort port_, http_;
  std::stop_source stop_;
  tl::expected<void, std::string> result_;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

class ElectedCoordinatorTest : public testing::Test {
 protected:
  std::unique_ptr<Coordinator> Start(milliseconds leader_timeout = kTimeout) {
    return std::make_unique<Coordinator>(shared_, folder_.path(), leader_timeout);
  }
  std::unique_ptr<Coordinator> StartLeader(milliseconds leader_timeout = kTimeout) {
    auto coordinator = Start(leader_timeout);
    EXPECT_TRUE(Eventually([&] { return coordinator->IsLeader(); }));
    return coordinator;
  }

  static CoordinatorContext Context(const std::string& bind, StatusEndpoint& status) {
    return {.bind = bind,
            .output_dir = ".",
            .scheduler = {},
            .ledger_name = "shared",
            .leader_timeout = kTimeout,
            .security = std::nullopt,
            .status = status};
  }

  TemporaryFolder folder_;
  FakeSharedLedger fake_;
  const SharedLedger shared_ = fake_.shared();
};

TEST_F(ElectedCoordinatorTest, OneCoordinatorIsTheLeaderAndTheOtherNamesIt) {
  const auto leader = StartLeader();
  const auto other = Start();
  ASSERT_TRUE(Eventually([&] { return other->Get("/readyz").ends_with("200"); }));
  EXPECT_TRUE(leader->Ask().has_client());
  const auto answer = other->Ask();
  ASSERT_TRUE(answer.has_not_leading());
  EXPECT_THAT(answer.not_leading().leader(), HasSubstr(leader->endpoint()));
  EXPECT_EQ(leader->Get("/readyz"), "leading, epoch 1\n200");
  EXPECT_EQ(other->Get("/readyz"), "standby: " + fake_.record().leader + " is the leader, epoch 1\n200");
  EXPECT_EQ(other->Get("/"), other->Get("/readyz"));
  for (const auto* coordinator : {leader.get(), other.get()}) {
    EXPECT_THAT(coordinator->Get("/metrics"),
                HasSubstr(coordinator == leader.get() ? "\ndicom_sender_leader 1\n" : "\ndicom_sender_leader 0\n"));
    EXPECT_EQ(coordinator->Get("/healthz"), "ok\n200");
  }
}

TEST_F(ElectedCoordinatorTest, HandsOverWhenItIsStopped) {
  auto leader = StartLeader(kLongTimeout);
  const auto other = Start(kLongTimeout);
  ASSERT_TRUE(Eventually([&] { return other->IsStandby(); }));
  const TimePoint begin = MonotonicNow();
  leader->AskToStop();
  ASSERT_TRUE(Eventually([&] { return fake_.record().epoch == 2; }));
  EXPECT_LT(MonotonicNow() - begin, kLongTimeout / 2) << "it waited for the timeout";
  EXPECT_TRUE(Eventually([&] { return other->IsLeader(); }));
  EXPECT_TRUE(other->Ask().has_client());
  EXPECT_TRUE(leader->Stop());
}

TEST_F(ElectedCoordinatorTest, DoesNotReportThatItIsTheLeaderBeforeItServes) {
  fake_.SetLedgerHangs(true);
  const auto leader = Start(kLongTimeout);
  ASSERT_TRUE(Eventually([&] { return fake_.waiting() > 0; }));
  EXPECT_TRUE(Eventually([&] { return leader->Get("/readyz") == "starting\n503"; }));
  EXPECT_THAT(leader->Get("/metrics"), HasSubstr("\ndicom_sender_leader 0\n"));
  fake_.SetLedgerHangs(false);
  EXPECT_TRUE(Eventually([&] { return leader->IsLeader(); }));
  EXPECT_THAT(leader->Get("/metrics"), HasSubstr("\ndicom_sender_leader 1\n"));
}

TEST_F(ElectedCoordinatorTest, DoesNotReportThatItIsTheLeaderAfterItLostTheLeadership) {
  const auto leader = StartLeader();
  fake_.SetLedgerHangs(true);
  zmq::context_t context;
  DealerChannel client(context, {leader->endpoint()});
  leader->Ask(client);
  ASSERT_TRUE(Eventually([&] { return fake_.waiting() > 0; }));
  fake_.SetRecord({.epoch = 9, .leader = "somebody else", .renewals = 0});
  EXPECT_TRUE(Eventually([&] {
    fake_.Renew();
    return !leader->IsLeader();
  }));
  EXPECT_THAT(leader->Get("/metrics"), HasSubstr("\ndicom_sender_leader 0\n"));
  fake_.SetLedgerHangs(false);
}

TEST_F(ElectedCoordinatorTest, HandsOverWhenItIsStoppedAlthoughTheLedgerHangs) {
  auto leader = StartLeader(kTimeout);
  fake_.SetLedgerHangs(true);
  zmq::context_t context;
  DealerChannel client(context, {leader->endpoint()});
  leader->Ask(client);
  ASSERT_TRUE(Eventually([&] { return fake_.waiting() > 0; }));
  EXPECT_TRUE(leader->Stop());
  EXPECT_EQ(fake_.record(), (LeaderRecord{.epoch = 1, .leader = "", .renewals = fake_.record().renewals}));
}

// Two containers may share both.
TEST_F(ElectedCoordinatorTest, TheSameHostAndProcessNumberDoNotMakeTheSameName) {
  std::array<char, 256> host{};
  ASSERT_EQ(gethostname(host.data(), host.size() - 1), 0);
  const auto other = Start(kLongTimeout);
  const std::string name =
      std::string(host.data()) + " at " + other->endpoint() + " (process " + std::to_string(getpid()) + ")";
  ASSERT_TRUE(Eventually([&] { return other->IsLeader(); }));
  EXPECT_NE(fake_.record().leader, name);
  fake_.SetRecord({.epoch = 5, .leader = name, .renewals = 0});
  EXPECT_TRUE(
      Eventually([&] { return other->Get("/readyz") == "standby: " + name + " is the leader, epoch 5\n200"; }));
}

// Records whether any thread logs the text during the lifetime of this object.
class LogWatch {
 public:
  explicit LogWatch(std::string text) : sink_(std::make_shared<Sink>(std::move(text))) {
    spdlog::default_logger()->sinks().push_back(sink_);
  }
  ~LogWatch() { spdlog::default_logger()->sinks().pop_back(); }
  LogWatch(const LogWatch&) = delete;
  LogWatch& operator=(const LogWatch&) = delete;
  bool seen() const { return sink_->seen; }

 private:
  struct Sink : spdlog::sinks::base_sink<std::mutex> {
    explicit Sink(std::string wanted) : text(std::move(wanted)) {}
    void sink_it_(const spdlog::details::log_msg& message) override {
      const std::string_view payload(message.payload.data(), message.payload.size());
      if (payload.find(text) != std::string_view::npos) seen = true;
    }
    void flush_() override {}
    const std::string text;
    std::atomic<bool> seen = false;
  };
  const std::shared_ptr<Sink> sink_;
};

TEST_F(ElectedCoordinatorTest, WaitsForAPortThatBecomesOccupied) {
  const LogWatch warning("Cannot become a standby yet");
  auto leader = StartLeader();
  fake_.SetFull(true);
  zmq::context_t context;
  DealerChannel client(context, {leader->endpoint()});
  std::optional<RouterChannel> thief;
  leader->Ask(client);
  ASSERT_TRUE(Eventually([&] {
    try {
      thief.emplace(context, leader->endpoint());
      return true;
    } catch (const zmq::error_t&) {
      return false;  // the leader still has the port, or has it again
    }
  }));
  fake_.SetFull(false);
  EXPECT_TRUE(Eventually([&] { return warning.seen(); }));
  EXPECT_FALSE(leader->ended());
  thief.reset();
  EXPECT_TRUE(Eventually([&] { return leader->IsLeader(); }));
  EXPECT_TRUE(leader->Stop());
}

TEST_F(ElectedCoordinatorTest, IsNotElectedIfItCannotServeItsStatus) {
  const ReservedPort port;
  StatusEndpoint status("192.0.2.1:9", {});
  EXPECT_FALSE(
      RunElectedCoordinator(Context("tcp://127.0.0.1:" + std::to_string(port.number()), status), shared_, {}));
  EXPECT_EQ(fake_.record().epoch, 0U);
}

TEST_F(ElectedCoordinatorTest, AStandbyStopsAtOnceAlthoughTheLedgerHangs) {
  const auto leader = StartLeader();
  auto other = Start();
  ASSERT_TRUE(Eventually([&] { return other->IsStandby(); }));
  fake_.SetHealth(Health::kHanging);
  EXPECT_TRUE(other->Stop());
}

TEST_F(ElectedCoordinatorTest, AFailingLedgerEndsTheLeadershipAndNotTheProcess) {
  auto leader = StartLeader();
  fake_.SetFull(true);
  zmq::context_t context;
  DealerChannel client(context, {leader->endpoint()});
  leader->Ask(client);
  ASSERT_TRUE(Eventually([&] { return leader->IsStandby(); }));
  EXPECT_FALSE(client.Receive()) << "a request that was not committed is not answered";
  const auto answer = leader->Ask();
  ASSERT_TRUE(answer.has_not_leading());
  EXPECT_EQ(answer.not_leading().leader(), "") << "its own name belongs to an earlier epoch";
  fake_.SetFull(false);
  EXPECT_TRUE(Eventually([&] { return leader->IsLeader(); }));
  EXPECT_TRUE(leader->Ask().has_client());
  EXPECT_TRUE(leader->Stop());
}

TEST_F(ElectedCoordinatorTest, StepsDownForAnotherLeaderAndNamesIt) {
  const auto leader = StartLeader();
  fake_.SetRecord({.epoch = 9, .leader = "somebody else", .renewals = 0});
  ASSERT_TRUE(Eventually([&] {
    fake_.Renew();
    return leader->Get("/readyz") == "standby: somebody else is the leader, epoch 9\n200";
  }));
  const auto answer = leader->Ask();
  ASSERT_TRUE(answer.has_not_leading());
  EXPECT_EQ(answer.not_leading().leader(), "somebody else");
  EXPECT_TRUE(Eventually([&] { return leader->Get("/readyz") == "leading, epoch 10\n200"; }))
      << "the other leader does not renew";
}

TEST_F(ElectedCoordinatorTest, AnswersWhileTheLedgerIsUnreachableAndIsElectedAfterwards) {
  const auto leader = StartLeader();
  const auto other = Start();
  ASSERT_TRUE(Eventually([&] { return other->IsStandby(); }));
  fake_.SetHealth(Health::kAway);
  ASSERT_TRUE(Eventually([&] { return leader->IsStandby(); }));
  for (const auto* coordinator : {leader.get(), other.get()}) {
    EXPECT_TRUE(coordinator->Ask().has_not_leading());
    EXPECT_TRUE(Eventually(
        [&] { return coordinator->Get("/readyz") == "standby: the leader is unknown: the server is away\n503"; }));
    EXPECT_EQ(coordinator->Get("/healthz"), "ok\n200") << "the coordinator itself is healthy";
  }
  fake_.SetHealth(Health::kWell);
  EXPECT_TRUE(Eventually([&] { return leader->IsLeader() != other->IsLeader(); }));
  EXPECT_EQ(fake_.record().epoch, 2U);
}

TEST_F(ElectedCoordinatorTest, AnUnusableLedgerIsAnErrorAtStartup) {
  fake_.SetTrouble(LedgerTrouble{.sentence = "wrong password", .passing = false});
  const auto coordinator = Start();
  ASSERT_TRUE(Eventually([&] { return coordinator->ended(); }));
  const auto ended = coordinator->Stop();
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error(), "wrong password");
}

TEST_F(ElectedCoordinatorTest, APortInUseIsAnErrorAtStartup) {
  zmq::context_t context;
  const RouterChannel taken(context, "tcp://127.0.0.1:*");
  StatusEndpoint status(std::nullopt, {});
  const auto ended = RunElectedCoordinator(Context(taken.endpoint(), status), shared_, {});
  ASSERT_FALSE(ended);
  EXPECT_THAT(ended.error(), StartsWith("--bind: cannot listen on '" + taken.endpoint() + "': "));
  EXPECT_EQ(fake_.record().epoch, 0U) << "a coordinator that cannot serve must not be elected";
}

}  // namespace
}  // namespace dicom_sender
