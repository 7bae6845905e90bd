// A leader that was paused and comes back says nothing.
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include "coordinator/ledger/sqlite_ledger.h"
#include "coordinator/service/coordinator_loop.h"
#include "proto/validate.h"
#include "tests/sim/fault_ledger.h"
#include "tests/unit/succession/shared_store.h"

namespace dicom_sender {
namespace {

class PausedLedger : public FaultLedger {
 public:
  using FaultLedger::FaultLedger;
  void Commit() override {
    FaultLedger::Commit();
    if (on_commit) on_commit();
  }
  std::function<void()> on_commit;
};

class LoopTest : public testing::Test {
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
  Service service_{ledger_, {}, metrics_, {}};
  std::atomic<bool> leads_ = true;
  CoordinatorLoop loop_{router_, service_, {.leads = [this] { return leads_.load(); }}};
  std::stop_source stop_;
};

TEST_F(LoopTest, AnswersWhileItLeads) {
  Ask();
  ledger_.on_commit = [this] { stop_.request_stop(); };
  loop_.Run(stop_.get_token());
  EXPECT_TRUE(client_.Receive());
}

TEST_F(LoopTest, WhatWasCommittedIsNotSaidByWhoDoesNotLeadAnyMore) {
  Ask();
  ledger_.on_commit = [this] { leads_ = false; };
  loop_.Run(stop_.get_token());
  EXPECT_FALSE(client_.Receive());
}

TEST_F(LoopTest, WhoDoesNotLeadAnyMoreBeginsNoStep) {
  Ask();
  leads_ = false;
  ledger_.on_commit = [] { ADD_FAILURE() << "a step"; };
  loop_.Run(stop_.get_token());
  EXPECT_FALSE(client_.Receive());
}

}  // namespace
}  // namespace dicom_sender
