// Coordinators on one shared ledger, each in a thread with its own port.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <mutex>
#include <thread>

#include "programs/coordinator/succession.h"
#include "proto/validate.h"
#include "tests/support/network.h"
#include "tests/support/process.h"
#include "tests/unit/coordinator/leadership/shared_store.h"
#include "transport/channel.h"

namespace dicom_sender {
namespace {

using std::chrono::milliseconds;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;
using Health = SharedStore::Health;

constexpr milliseconds kTimeout(500), kLongTimeout(20'000);

class Coordinator {
 public:
  Coordinator(const LedgerStore& store, const std::filesystem::path& folder, milliseconds leader_timeout) {
    options_.bind = endpoint();
    options_.output_dir = folder;
    options_.service.metrics = "127.0.0.1:" + std::to_string(http_.number());
    thread_ = std::thread([this, &store, leader_timeout] {
      Front front(options_.service.metrics, stop_.get_token());
      const Site site{.options = options_,
                      .ledger = "shared",
                      .leader_timeout = leader_timeout,
                      .security = std::nullopt,
                      .front = front};
      result_ = RunSuccession(site, store, stop_.get_token());
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
    return RunProcess(
               {"curl", "-s", "--max-time", "20", "-w", "%{http_code}", "http://" + *options_.service.metrics + path},
               kPatience)
        .output;
  }
  bool Leads() const { return Get("/readyz").starts_with("leading, epoch "); }
  bool StandsBy() const { return Get("/readyz").starts_with("standing by"); }
  void Ask(DealerChannel& channel) const {
    EXPECT_TRUE(channel.WaitUntilConnected(kPatience));
    wire::ClientRequest request;
    request.set_request_id(1);
    request.mutable_list_sessions();
    EXPECT_TRUE(channel.Send(Envelope(std::move(request))));
  }
  // What it says to whoever asks, on a connection of its own.
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
  ReservedPort port_, http_;
  CoordinatorOptions options_;
  std::stop_source stop_;
  tl::expected<void, std::string> result_;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

class SuccessionTest : public testing::Test {
 protected:
  std::unique_ptr<Coordinator> Start(milliseconds leader_timeout = kTimeout) {
    return std::make_unique<Coordinator>(opener_, folder_.path(), leader_timeout);
  }
  std::unique_ptr<Coordinator> StartLeader(milliseconds leader_timeout = kTimeout) {
    auto coordinator = Start(leader_timeout);
    EXPECT_TRUE(Eventually([&] { return coordinator->Leads(); }));
    return coordinator;
  }

  TemporaryFolder folder_;
  SharedStore store_;
  const LedgerStore opener_ = store_.Store();
};

TEST_F(SuccessionTest, OneLeadsAndTheOtherSaysWho) {
  const auto leader = StartLeader();
  const auto other = Start();
  ASSERT_TRUE(Eventually([&] { return other->Get("/readyz").ends_with("200"); }));
  EXPECT_TRUE(leader->Ask().has_client());
  const auto answer = other->Ask();
  ASSERT_TRUE(answer.has_not_leading());
  EXPECT_THAT(answer.not_leading().leader(), HasSubstr(leader->endpoint()));
  EXPECT_EQ(leader->Get("/readyz"), "leading, epoch 1\n200");
  EXPECT_EQ(other->Get("/readyz"), "standing by: " + store_.record().leader + " leads, epoch 1\n200");
  EXPECT_EQ(other->Get("/"), other->Get("/readyz"));
  for (const auto* coordinator : {leader.get(), other.get()}) {
    EXPECT_THAT(coordinator->Get("/metrics"),
                HasSubstr(coordinator == leader.get() ? "\ndicom_sender_leader 1\n" : "\ndicom_sender_leader 0\n"));
    EXPECT_EQ(coordinator->Get("/healthz"), "ok\n200");
  }
}

TEST_F(SuccessionTest, WhoIsAskedToStopHandsOver) {
  auto leader = StartLeader(kLongTimeout);
  const auto other = Start(kLongTimeout);
  ASSERT_TRUE(Eventually([&] { return other->StandsBy(); }));
  const TimePoint begin = MonotonicNow();
  leader->AskToStop();
  ASSERT_TRUE(Eventually([&] { return store_.record().epoch == 2; }));
  EXPECT_LT(MonotonicNow() - begin, kLongTimeout / 2) << "it waited for the time-out";
  EXPECT_TRUE(Eventually([&] { return other->Leads(); }));
  EXPECT_TRUE(other->Ask().has_client());
  EXPECT_TRUE(leader->Stop());
}

TEST_F(SuccessionTest, DoesNotSayThatItLeadsBeforeItServes) {
  store_.SetLedgerHangs(true);
  const auto leader = Start(kLongTimeout);
  ASSERT_TRUE(Eventually([&] { return store_.waiting() > 0; }));
  EXPECT_TRUE(Eventually([&] { return leader->Get("/readyz") == "starting\n503"; }));
  EXPECT_THAT(leader->Get("/metrics"), HasSubstr("\ndicom_sender_leader 0\n"));
  store_.SetLedgerHangs(false);
  EXPECT_TRUE(Eventually([&] { return leader->Leads(); }));
  EXPECT_THAT(leader->Get("/metrics"), HasSubstr("\ndicom_sender_leader 1\n"));
}

TEST_F(SuccessionTest, DoesNotSayThatItLeadsWhenItDoesNotAnyMore) {
  const auto leader = StartLeader();
  store_.SetLedgerHangs(true);
  zmq::context_t context;
  DealerChannel client(context, {leader->endpoint()});
  leader->Ask(client);
  ASSERT_TRUE(Eventually([&] { return store_.waiting() > 0; }));
  store_.SetRecord({.epoch = 9, .leader = "somebody else", .renewals = 0});
  EXPECT_TRUE(Eventually([&] {
    store_.Renew();
    return !leader->Leads();
  }));
  EXPECT_THAT(leader->Get("/metrics"), HasSubstr("\ndicom_sender_leader 0\n"));
  store_.SetLedgerHangs(false);
}

TEST_F(SuccessionTest, WhoIsAskedToStopHandsOverThoughTheLedgerHangs) {
  auto leader = StartLeader(kTimeout);
  store_.SetLedgerHangs(true);
  zmq::context_t context;
  DealerChannel client(context, {leader->endpoint()});
  leader->Ask(client);
  ASSERT_TRUE(Eventually([&] { return store_.waiting() > 0; }));
  EXPECT_TRUE(leader->Stop());
  EXPECT_EQ(store_.record(), (LeaderRecord{.epoch = 1, .leader = "", .renewals = store_.record().renewals}));
}

// As two containers may.
TEST_F(SuccessionTest, OfOneHostAndProcessNumberIsStillAnother) {
  std::array<char, 256> host{};
  ASSERT_EQ(gethostname(host.data(), host.size() - 1), 0);
  const auto other = Start(kLongTimeout);
  const std::string name =
      std::string(host.data()) + " at " + other->endpoint() + " (process " + std::to_string(getpid()) + ")";
  ASSERT_TRUE(Eventually([&] { return other->Leads(); }));
  EXPECT_NE(store_.record().leader, name);
  store_.SetRecord({.epoch = 5, .leader = name, .renewals = 0});
  EXPECT_TRUE(Eventually([&] { return other->Get("/readyz") == "standing by: " + name + " leads, epoch 5\n200"; }));
}

// Notes that a text was logged, by whichever thread, as long as it exists.
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

TEST_F(SuccessionTest, APortThatIsTakenLaterIsWaitedFor) {
  const LogWatch warning("it is tried again and again");
  auto leader = StartLeader();
  store_.SetFull(true);
  zmq::context_t context;
  DealerChannel client(context, {leader->endpoint()});
  std::optional<RouterChannel> thief;
  leader->Ask(client);
  ASSERT_TRUE(Eventually([&] {
    try {
      thief.emplace(context, leader->endpoint());
      return true;
    } catch (const zmq::error_t&) {
      return false;  // it has the port still, or again
    }
  }));
  store_.SetFull(false);
  EXPECT_TRUE(Eventually([&] { return warning.seen(); }));
  EXPECT_FALSE(leader->ended());
  thief.reset();
  EXPECT_TRUE(Eventually([&] { return leader->Leads(); }));
  EXPECT_TRUE(leader->Stop());
}

TEST_F(SuccessionTest, WhoCannotBeWatchedTakesNothing) {
  CoordinatorOptions options;
  const ReservedPort port;
  options.bind = "tcp://127.0.0.1:" + std::to_string(port.number());
  Front front("192.0.2.1:9", {});
  const Site site{
      .options = options, .ledger = "shared", .leader_timeout = kTimeout, .security = std::nullopt, .front = front};
  EXPECT_FALSE(RunSuccession(site, opener_, {}));
  EXPECT_EQ(store_.record().epoch, 0U);
}

TEST_F(SuccessionTest, WhoStandsByStopsAtOnceThoughTheLedgerHangs) {
  const auto leader = StartLeader();
  auto other = Start();
  ASSERT_TRUE(Eventually([&] { return other->StandsBy(); }));
  store_.SetHealth(Health::kHanging);
  EXPECT_TRUE(other->Stop());
}

TEST_F(SuccessionTest, ALedgerThatFailsEndsTheLeadershipAndNotTheProcess) {
  auto leader = StartLeader();
  store_.SetFull(true);
  zmq::context_t context;
  DealerChannel client(context, {leader->endpoint()});
  leader->Ask(client);
  ASSERT_TRUE(Eventually([&] { return leader->StandsBy(); }));
  EXPECT_FALSE(client.Receive()) << "what was not committed is not answered";
  const auto answer = leader->Ask();
  ASSERT_TRUE(answer.has_not_leading());
  EXPECT_EQ(answer.not_leading().leader(), "") << "its own name is of an epoch that is over";
  store_.SetFull(false);
  EXPECT_TRUE(Eventually([&] { return leader->Leads(); }));
  EXPECT_TRUE(leader->Ask().has_client());
  EXPECT_TRUE(leader->Stop());
}

TEST_F(SuccessionTest, StepsDownForWhoLeadsNowAndSaysWho) {
  const auto leader = StartLeader();
  store_.SetRecord({.epoch = 9, .leader = "somebody else", .renewals = 0});
  ASSERT_TRUE(Eventually([&] {
    store_.Renew();
    return leader->Get("/readyz") == "standing by: somebody else leads, epoch 9\n200";
  }));
  const auto answer = leader->Ask();
  ASSERT_TRUE(answer.has_not_leading());
  EXPECT_EQ(answer.not_leading().leader(), "somebody else");
  EXPECT_TRUE(Eventually([&] { return leader->Get("/readyz") == "leading, epoch 10\n200"; }))
      << "the other is silent";
}

TEST_F(SuccessionTest, AnswersWhileTheLedgerIsAwayAndLeadsWhenItIsBack) {
  const auto leader = StartLeader();
  const auto other = Start();
  ASSERT_TRUE(Eventually([&] { return other->StandsBy(); }));
  store_.SetHealth(Health::kAway);
  ASSERT_TRUE(Eventually([&] { return leader->StandsBy(); }));
  for (const auto* coordinator : {leader.get(), other.get()}) {
    EXPECT_TRUE(coordinator->Ask().has_not_leading());
    EXPECT_TRUE(Eventually([&] {
      return coordinator->Get("/readyz") == "standing by: it is not known who leads: the server is away\n503";
    }));
    EXPECT_EQ(coordinator->Get("/healthz"), "ok\n200") << "there is nothing wrong with the coordinator";
  }
  store_.SetHealth(Health::kWell);
  EXPECT_TRUE(Eventually([&] { return leader->Leads() != other->Leads(); }));
  EXPECT_EQ(store_.record().epoch, 2U);
}

TEST_F(SuccessionTest, ALedgerThatCannotBeUsedIsAnErrorAtTheStart) {
  store_.SetTrouble(LedgerTrouble{.sentence = "wrong password", .passing = false});
  const auto coordinator = Start();
  ASSERT_TRUE(Eventually([&] { return coordinator->ended(); }));
  const auto ended = coordinator->Stop();
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error(), "wrong password");
}

TEST_F(SuccessionTest, APortThatIsTakenIsAnErrorAtTheStart) {
  CoordinatorOptions options;
  zmq::context_t context;
  const RouterChannel taken(context, "tcp://127.0.0.1:*");
  options.bind = taken.endpoint();
  Front front(std::nullopt, {});
  const Site site{
      .options = options, .ledger = "shared", .leader_timeout = kTimeout, .security = std::nullopt, .front = front};
  const auto ended = RunSuccession(site, opener_, {});
  ASSERT_FALSE(ended);
  EXPECT_THAT(ended.error(), StartsWith("--bind: cannot listen on '" + options.bind + "': "));
  EXPECT_EQ(store_.record().epoch, 0U) << "who cannot serve takes nothing";
}

}  // namespace
}  // namespace dicom_sender
