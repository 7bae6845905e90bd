// A leader that was paused and has lost its leadership in the meantime sends nothing.
#include "coordinator/service/coordinator_loop.h"

#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include "common/wake_event.h"
#include "coordinator/ledger/sqlite/sqlite_ledger.h"
#include "proto/validate.h"
#include "tests/sim/fault_ledger.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {
namespace {

class PausedLedger : public FaultLedger {
 public:
  using FaultLedger::FaultLedger;
  void Commit() override {
    FaultLedger::Commit();
    if (on_commit) on_commit();
  }
  std::vector<SessionKey> Sessions() override {
    if (on_read) on_read();
    return FaultLedger::Sessions();
  }
  std::vector<StudyFeed> UnsettledStudies(SessionKey session, StudyKey after, std::size_t limit) override {
    if (on_read) on_read();
    return FaultLedger::UnsettledStudies(session, after, limit);
  }
  std::function<void()> on_commit, on_read;
};

class CoordinatorLoopTest : public testing::Test {
 protected:
  void Ask() {
    wire::ClientRequest request;
    request.set_request_id(1);
    request.mutable_list_sessions();
    ASSERT_TRUE(client_.Send(Envelope(std::move(request))));
  }

  TemporaryFolder folder_;
  zmq::context_t context_;
  RouterChannel router_{context_, "inproc://loop"};
  DealerChannel client_{context_, {"inproc://loop"}};
  PausedLedger ledger_{*OpenSqliteLedger(folder_ / "ledger.db")};
  prometheus::Registry registry_;
  CoordinatorMetrics metrics_{registry_};
  Progress progress_;
  Service service_{ledger_, {}, metrics_, {}, progress_};
  std::atomic<bool> leads_ = true;
  std::function<bool()> on_idle_ = [] { return false; };
  CoordinatorLoop loop_{
      router_,
      service_,
      {.on_idle = [this] { return on_idle_(); }, .leads = [this] { return leads_.load(); }, .progress = progress_}};
  std::stop_source stop_;
};

TEST_F(CoordinatorLoopTest, AnswersWhileItIsTheLeader) {
  Ask();
  ledger_.on_commit = [this] { stop_.request_stop(); };
  loop_.Run(stop_.get_token());
  EXPECT_TRUE(client_.Receive());
}

TEST_F(CoordinatorLoopTest, AFormerLeaderDoesNotAnswerACommittedRequest) {
  Ask();
  ledger_.on_commit = [this] { leads_ = false; };
  loop_.Run(stop_.get_token());
  EXPECT_FALSE(client_.Receive());
}

// Startup may take long, but each of its parts is short.
TEST_F(CoordinatorLoopTest, EachPageReadAtStartupCountsAsProgress) {
  for (const std::string session : {"a", "b", "c"}) {
    wire::OpenSession settings;
    settings.set_session(session);
    ledger_.Begin();
    ledger_.CreateSession(settings, WallNow());
    ledger_.Commit();
  }
  const WakeEvent never;
  std::vector<TimePoint> noted;
  ledger_.on_read = [&] {
    noted.push_back(progress_.at());
    never.WaitFor(std::chrono::milliseconds(2));
  };
  loop_.ResumeSessions();
  ASSERT_EQ(noted.size(), 4U);
  EXPECT_GT(noted[2], noted[1]);
  EXPECT_GT(noted[3], noted[2]);
  EXPECT_GT(progress_.at(), noted[3]);
}

TEST_F(CoordinatorLoopTest, IdleWorkIsDonePieceByPieceBetweenRequests) {
  Ask();
  int pieces = 0;
  on_idle_ = [&] {
    ++pieces;
    EXPECT_TRUE(client_.Receive()) << "requests are handled before each part";
    if (pieces < 3) {
      Ask();
      return true;
    }
    stop_.request_stop();
    return false;
  };
  loop_.Run(stop_.get_token());
  EXPECT_EQ(pieces, 3);
}

TEST_F(CoordinatorLoopTest, AFormerLeaderDoesNotBeginAStep) {
  Ask();
  leads_ = false;
  ledger_.on_commit = [] { ADD_FAILURE() << "a step"; };
  loop_.Run(stop_.get_token());
  EXPECT_FALSE(client_.Receive());
}

}  // namespace
}  // namespace dicom_sender
