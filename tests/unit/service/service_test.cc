// The coordinator's step with a real ledger in a temporary file: messages as bytes in, messages out.
#include "coordinator/service/service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include "coordinator/ledger/sqlite_ledger.h"
#include "proto/channel.h"
#include "tests/support/temporary_folder.h"

namespace dicom_sender {
namespace {

constexpr const char* kSession = "11111111-2222-4333-8444-555555555555";
constexpr const char* kCtClass = "1.2.840.10008.5.1.4.1.1.2";
constexpr const char* kExplicitLe = "1.2.840.10008.1.2.1";

class ServiceTest : public testing::Test {
 protected:
  void SetUp() override { Restart(); }

  // The coordinator ends as by kill -9 and starts again on the same ledger.
  void Restart() {
    service_.reset();
    ledger_.reset();
    auto ledger = OpenSqliteLedger((folder_ / "ledger.db").string());
    ASSERT_TRUE(ledger) << ledger.error();
    ledger_ = *std::move(ledger);
    service_ = std::make_unique<Service>(*ledger_, SchedulerOptions{}, metrics_);
  }

  std::vector<Outgoing> Step(Side side, const std::string& peer, const std::string& bytes) {
    return service_->Step({Incoming{side, peer, bytes}}, now_, WallTime(std::chrono::milliseconds(1'000'000)))
        .messages;
  }
  std::vector<Outgoing> Wait(Duration duration) {
    now_ += duration;
    return service_->Step({}, now_, WallTime(std::chrono::milliseconds(1'000'000))).messages;
  }

  wire::ClientReply Ask(wire::ClientRequest request, std::vector<wire::CoordinatorMessage>* to_worker = nullptr) {
    request.set_protocol_version(kProtocolVersion);
    request.set_request_id(7);
    wire::ClientReply reply;
    for (const Outgoing& outgoing : Step(Side::kClient, "client", request.SerializeAsString())) {
      if (const auto* client = std::get_if<wire::ClientReply>(&outgoing.message)) {
        EXPECT_EQ(outgoing.peer, "client");
        reply = *client;
      } else if (to_worker) {
        to_worker->push_back(std::get<wire::CoordinatorMessage>(outgoing.message));
      }
    }
    EXPECT_EQ(reply.request_id(), 7U);
    return reply;
  }

  std::vector<wire::CoordinatorMessage> Worker(wire::WorkerMessage message) {
    message.set_protocol_version(kProtocolVersion);
    std::vector<wire::CoordinatorMessage> answers;
    for (const Outgoing& outgoing : Step(Side::kWorker, "worker", message.SerializeAsString())) {
      EXPECT_EQ(outgoing.peer, "worker");
      answers.push_back(std::get<wire::CoordinatorMessage>(outgoing.message));
    }
    return answers;
  }

  wire::SessionStatus Open(bool resume = false, bool retry_failed = false) {
    wire::ClientRequest request;
    auto* open = request.mutable_open_session();
    open->set_session(kSession);
    open->mutable_destination()->set_called_ae("PACS");
    open->mutable_destination()->set_host("127.0.0.1");
    open->mutable_destination()->set_port(104);
    open->set_attempts_max(2);
    open->set_retry_for_ms(60'000);
    open->set_resume(resume);
    open->set_retry_failed(retry_failed);
    return Ask(request).session();
  }

  static wire::ClientRequest Batch(std::uint32_t files, const std::string& study = "1.2.3") {
    wire::ClientRequest request;
    auto* batch = request.mutable_publish_batch();
    batch->set_session(kSession);
    auto* root = batch->add_roots();
    root->set_id(1);
    root->set_path("/data");
    auto* items = batch->add_studies();
    items->set_study_instance_uid(study);
    for (std::uint32_t i = 0; i < files; ++i) {
      auto* instance = items->add_instances();
      instance->set_root(1);
      instance->set_path(study + "/" + std::to_string(i));
      instance->set_sop_class_uid(kCtClass);
      instance->set_sop_instance_uid(study + "." + std::to_string(i));
      instance->set_transfer_syntax_uid(kExplicitLe);
      instance->set_dataset_offset(300);
      instance->set_size_bytes(1000);
    }
    return request;
  }

  std::vector<wire::CoordinatorMessage> ScanComplete() {
    wire::ClientRequest request;
    request.mutable_scan_complete()->set_session(kSession);
    std::vector<wire::CoordinatorMessage> to_worker;
    EXPECT_TRUE(Ask(request, &to_worker).has_session());
    return to_worker;
  }

  wire::SessionStatus Status() {
    wire::ClientRequest request;
    request.mutable_get_session()->set_session(kSession);
    return Ask(request).session();
  }

  std::vector<wire::CoordinatorMessage> Announce(std::uint64_t incarnation = 1, std::vector<LeaseId> held = {}) {
    wire::WorkerMessage message;
    auto* status = message.mutable_status();
    status->set_worker_id("w");
    status->set_incarnation(incarnation);
    status->set_seq(incarnation * 10);
    status->set_capacity(1);
    for (LeaseId lease : held) {
      auto* entry = status->add_held();
      entry->set_lease_id(lease);
      entry->set_progressed(true);
    }
    return Worker(message);
  }

  // The next one of the lease.
  wire::WorkerMessage Report(LeaseId lease, const std::map<std::uint32_t, std::uint32_t>& statuses, bool done) {
    wire::WorkerMessage message;
    auto* report = message.mutable_report();
    report->set_lease_id(lease);
    report->set_seq(++report_seq_[lease]);
    report->set_associations(1);
    for (const auto& [index, status] : statuses) {
      auto* outcome = report->add_outcomes();
      outcome->set_index(index);
      outcome->set_status(status);
      outcome->set_duration_us(500);
    }
    if (done) report->mutable_give_back()->set_reason(wire::GiveBack::DONE);
    return message;
  }

  TemporaryFolder folder_;
  prometheus::Registry registry_;
  CoordinatorMetrics metrics_{registry_};
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<Service> service_;
  TimePoint now_{std::chrono::seconds(1)};
  std::map<LeaseId, std::uint64_t> report_seq_;
};

TEST_F(ServiceTest, ASessionGoesFromOpenToComplete) {
  EXPECT_EQ(Open().state(), wire::SESSION_SCANNING);
  EXPECT_TRUE(Ask(Batch(3)).has_publish_ack());
  const auto hello = Announce();
  ASSERT_EQ(hello.size(), 1U);
  EXPECT_EQ(hello[0].status_ack().seq(), 10U);
  EXPECT_GT(hello[0].status_ack().ttl_ms(), 0U);

  const auto granted = ScanComplete();
  ASSERT_EQ(granted.size(), 1U);
  const auto& grant = granted[0].grant();
  EXPECT_EQ(grant.study_instance_uid(), "1.2.3");
  EXPECT_EQ(grant.destination().called_ae(), "PACS");
  ASSERT_EQ(grant.pairs_size(), 1);
  EXPECT_EQ(grant.pairs(0).sop_class_uid(), kCtClass);
  ASSERT_EQ(grant.first_page().instances_size(), 3);
  EXPECT_EQ(grant.first_page().instances(2).path(), "1.2.3/2");
  EXPECT_EQ(grant.first_page().next_index(), 0U);
  EXPECT_EQ(Status().leases(), 1U);

  const auto acked = Worker(Report(grant.lease_id(), {{0, 0}, {1, 0xB000}, {2, 0xC000}}, true));
  ASSERT_EQ(acked.size(), 1U);
  EXPECT_EQ(acked[0].report_ack().lease_id(), grant.lease_id());
  EXPECT_EQ(acked[0].report_ack().seq(), 1U);
  const auto status = Status();
  EXPECT_EQ(status.state(), wire::SESSION_COMPLETE);
  EXPECT_EQ(status.total(), 3U);
  EXPECT_EQ(status.stored(), 2U);
  EXPECT_EQ(status.warnings(), 1U);
  EXPECT_EQ(status.failed(), 1U);
  EXPECT_EQ(status.leases(), 0U);
}

TEST_F(ServiceTest, RepeatedMessagesChangeNothing) {
  Open();
  Open();
  Ask(Batch(2));
  Ask(Batch(2));
  Announce();
  const auto lease = ScanComplete().at(0).grant().lease_id();
  EXPECT_TRUE(ScanComplete().empty());
  const auto first = Report(lease, {{0, 0}}, false);
  Worker(first);
  EXPECT_EQ(Worker(first).at(0).report_ack().seq(), 1U) << "acknowledged all the same";
  const auto last = Report(lease, {{1, 0}}, true);
  Worker(last);
  EXPECT_EQ(Worker(last).at(0).report_ack().seq(), 2U);
  const SessionRecord record = ledger_->FindSession(kSession).value();
  EXPECT_EQ(record.counts.total, 2U);
  EXPECT_EQ(record.counts.stored, 2U);
  EXPECT_EQ(record.counts.associations, 1U);
}

TEST_F(ServiceTest, ARepeatedReportUsesUpNoAttempt) {
  Open();
  Ask(Batch(2));
  Announce();
  const auto lease = ScanComplete().at(0).grant().lease_id();
  auto report = Report(lease, {{0, 0xA700}}, false);
  auto* lost = report.mutable_report()->add_outcomes();
  lost->set_index(1);
  lost->set_kind(wire::Outcome::ASSOCIATION_LOST);
  Worker(report);
  EXPECT_EQ(Worker(report).at(0).report_ack().seq(), 1U);
  EXPECT_EQ(Status().failed(), 0U) << "each has used one attempt of two";
  Restart();
  Open(true);
  EXPECT_EQ(Worker(report).at(0).report_ack().seq(), 1U) << "the ledger knows it after a restart, too";
  EXPECT_EQ(Status().failed(), 0U);
  const SessionRecord record = ledger_->FindSession(kSession).value();
  EXPECT_EQ(record.counts.retries, 0U);
  EXPECT_EQ(record.counts.associations, 1U);
}

TEST_F(ServiceTest, ARepeatedGiveBackDoesNotEndTheNextLease) {
  Open();
  Ask(Batch(2));
  Announce();
  const auto lease = ScanComplete().at(0).grant().lease_id();
  auto report = Report(lease, {{0, 0}}, false);
  report.mutable_report()->mutable_give_back()->set_reason(wire::GiveBack::DRAINING);
  EXPECT_EQ(Worker(report).size(), 2U) << "acknowledged, and granted again";
  EXPECT_EQ(Worker(report).size(), 1U);
  EXPECT_EQ(Status().leases(), 1U);
}

TEST_F(ServiceTest, AReportIsNotAppliedBeforeItsPredecessor) {
  Open();
  Ask(Batch(2));
  Announce();
  const auto lease = ScanComplete().at(0).grant().lease_id();
  const auto first = Report(lease, {{0, 0}}, false);
  const auto second = Report(lease, {{1, 0}}, true);
  EXPECT_TRUE(Worker(second).empty()) << "it will come again";
  EXPECT_EQ(Status().stored(), 0U);
  EXPECT_EQ(Worker(first).size(), 1U);
  EXPECT_EQ(Worker(second).size(), 1U);
  EXPECT_EQ(Status().state(), wire::SESSION_COMPLETE);
  EXPECT_EQ(Status().stored(), 2U);
}

TEST_F(ServiceTest, PagesOfALeaseThatIsNotInForceAreEmpty) {
  Open();
  Ask(Batch(300));
  Announce();
  const auto grant = ScanComplete().at(0).grant();
  ASSERT_GT(grant.first_page().next_index(), 0U) << "300 instances do not fit in a page";
  wire::WorkerMessage request;
  request.mutable_page_request()->set_lease_id(grant.lease_id());
  request.mutable_page_request()->set_from_index(grant.first_page().next_index());
  const auto second = Worker(request).at(0).page();
  EXPECT_EQ(second.instances(0).index(), grant.first_page().next_index());
  request.mutable_page_request()->set_lease_id(grant.lease_id() + 1);
  const auto none = Worker(request).at(0).page();
  EXPECT_EQ(none.instances_size(), 0);
  EXPECT_EQ(none.next_index(), 0U);
}

TEST_F(ServiceTest, WhatCannotBeUnderstoodIsRefusedAndChangesNothing) {
  const auto garbage = Step(Side::kClient, "client", "\xff\xff garbage");
  ASSERT_EQ(garbage.size(), 1U);
  EXPECT_TRUE(std::get<wire::ClientReply>(garbage[0].message).has_failure());
  EXPECT_TRUE(Step(Side::kWorker, "worker", "\xff\xff garbage").empty());
  wire::ClientRequest other_version;
  other_version.set_protocol_version(kProtocolVersion + 1);
  other_version.mutable_get_session()->set_session(kSession);
  const auto refused = Step(Side::kClient, "client", other_version.SerializeAsString());
  EXPECT_NE(std::get<wire::ClientReply>(refused.at(0).message).failure().reason().find("version"), std::string::npos);
  EXPECT_TRUE(Ask(Batch(1)).has_failure()) << "of a session that nobody opened";
  EXPECT_TRUE(Worker(Report(99, {{0, 0}}, true)).empty()) << "of a lease that nobody granted";
}

TEST_F(ServiceTest, OutcomesOfInstancesThatDoNotExistAreIgnored) {
  Open();
  Ask(Batch(1));
  Announce();
  const auto lease = ScanComplete().at(0).grant().lease_id();
  Worker(Report(lease, {{0, 0}, {77, 0}}, true));
  EXPECT_EQ(Status().stored(), 1U);
  EXPECT_EQ(Status().total(), 1U);
}

TEST_F(ServiceTest, ALeaseLostWithTheCoordinatorIsResumedAndItsResendsAreCounted) {
  Open();
  Ask(Batch(3));
  Announce();
  const auto lease = ScanComplete().at(0).grant().lease_id();
  Worker(Report(lease, {{0, 0}}, false));

  Restart();
  EXPECT_EQ(Open(true).state(), wire::SESSION_SENDING);
  EXPECT_EQ(Status().stored(), 1U);
  const auto answers = Announce(2);
  ASSERT_EQ(answers.size(), 2U);
  const auto& grant = answers[1].grant();
  EXPECT_GT(grant.lease_id(), lease);
  ASSERT_EQ(grant.first_page().instances_size(), 2) << "what is stored is not sent again";
  EXPECT_EQ(grant.first_page().instances(0).index(), 1U);
  Worker(Report(grant.lease_id(), {{1, 0}, {2, 0}}, true));
  EXPECT_EQ(Status().state(), wire::SESSION_COMPLETE);
  EXPECT_EQ(ledger_->FindSession(kSession)->counts.resends, 2U);
}

TEST_F(ServiceTest, ALeaseInForceOutlivesTheCoordinatorIfItsWorkerDoes) {
  Open();
  Ask(Batch(3));
  Announce();
  const auto lease = ScanComplete().at(0).grant().lease_id();
  Worker(Report(lease, {{0, 0}}, false));

  Restart();
  service_->ResumeSessions(now_, WallTime(std::chrono::milliseconds(1'000'000)));
  EXPECT_EQ(Status().state(), wire::SESSION_SENDING);
  EXPECT_EQ(Status().leases(), 1U) << "nobody else may have the study";
  const auto answers = Announce(1, {lease});
  ASSERT_EQ(answers.size(), 1U) << "nothing is granted";
  EXPECT_THAT(answers[0].status_ack().renewed(), testing::ElementsAre(lease));
  Worker(Report(lease, {{1, 0}, {2, 0}}, true));
  EXPECT_EQ(Status().state(), wire::SESSION_COMPLETE);
  EXPECT_EQ(ledger_->FindSession(kSession)->counts.resends, 0U);
}

TEST_F(ServiceTest, OnlySessionsThatHadNotEndedAreResumedByThemselves) {
  Open();
  Ask(Batch(2));
  ScanComplete();
  wire::ClientRequest suspend;
  suspend.mutable_suspend_session()->set_session(kSession);
  EXPECT_EQ(Ask(suspend).session().state(), wire::SESSION_SUSPENDED);
  Restart();
  service_->ResumeSessions(now_, WallTime(std::chrono::milliseconds(1'000'000)));
  EXPECT_EQ(Status().state(), wire::SESSION_SUSPENDED);
  EXPECT_EQ(Announce().size(), 1U) << "nothing is granted";
}

TEST_F(ServiceTest, AnUnreachableDestinationEndsTheSessionAndResumeGoesOn) {
  Open();
  Ask(Batch(2));
  Announce();
  const auto lease = ScanComplete().at(0).grant().lease_id();
  wire::WorkerMessage back = Report(lease, {}, false);
  back.mutable_report()->set_associations(0);
  back.mutable_report()->mutable_give_back()->set_reason(wire::GiveBack::DESTINATION_TRANSIENT);
  back.mutable_report()->mutable_give_back()->set_detail("connection refused");
  Worker(back);
  EXPECT_NE(Status().trouble().find("connection refused"), std::string::npos);
  // Every probe fails, too, until the session has waited long enough.
  for (int i = 0; i < 200 && Status().state() == wire::SESSION_SENDING; ++i) {
    for (const Outgoing& outgoing : Wait(std::chrono::seconds(1))) {
      const auto* message = std::get_if<wire::CoordinatorMessage>(&outgoing.message);
      if (!message || !message->has_grant()) continue;
      back.mutable_report()->set_lease_id(message->grant().lease_id());  // the first report of each
      Worker(back);
    }
  }
  auto status = Status();
  EXPECT_EQ(status.state(), wire::SESSION_UNREACHABLE);
  EXPECT_EQ(status.end_reason(), "connection refused");
  EXPECT_EQ(status.failed(), 2U);

  EXPECT_EQ(Open(true).state(), wire::SESSION_SENDING);
  status = Status();
  EXPECT_EQ(status.failed(), 0U);
  EXPECT_EQ(status.leases(), 1U);
}

TEST_F(ServiceTest, RetryFailedSendsWhatHadFailedForGood) {
  Open();
  Ask(Batch(2));
  Announce();
  Worker(Report(ScanComplete().at(0).grant().lease_id(), {{0, 0}, {1, 0xC000}}, true));
  EXPECT_EQ(Open(true).state(), wire::SESSION_COMPLETE) << "nothing was left";
  EXPECT_EQ(Status().failed(), 1U);
  EXPECT_EQ(Open(true, true).state(), wire::SESSION_SENDING);
  EXPECT_EQ(Status().failed(), 0U);
}

TEST_F(ServiceTest, ResumeMayChangeHowIsSentButNotWhatAndWhereto) {
  Open();
  Ask(Batch(1));
  Announce();
  Worker(Report(ScanComplete().at(0).grant().lease_id(), {{0, 0xC000}}, true));
  const wire::OpenSession before = ledger_->FindSession(kSession)->settings;

  wire::ClientRequest request;
  auto* open = request.mutable_open_session();
  open->set_session(kSession);
  open->set_resume(true);
  open->set_retry_failed(true);
  EXPECT_EQ(Ask(request).session().state(), wire::SESSION_SENDING);
  EXPECT_EQ(ledger_->FindSession(kSession)->settings.SerializeAsString(), before.SerializeAsString())
      << "what is not set stays";

  open->mutable_destination()->set_called_ae("OTHER");
  open->mutable_send_options()->set_max_pdu_bytes(8192);
  open->set_attempts_max(9);
  EXPECT_EQ(Ask(request).session().state(), wire::SESSION_SENDING);
  EXPECT_EQ(ledger_->FindSession(kSession)->settings.attempts_max(), 2U) << "it is open: nothing to resume";

  Restart();
  Ask(request);
  const wire::OpenSession after = ledger_->FindSession(kSession)->settings;
  EXPECT_EQ(after.attempts_max(), 9U);
  EXPECT_EQ(after.retry_for_ms(), 60'000U);
  EXPECT_EQ(after.destination().called_ae(), "PACS");
  const auto answers = Announce(2);
  ASSERT_EQ(answers.size(), 2U);
  const auto& grant = answers[1].grant();
  EXPECT_EQ(grant.send_options().max_pdu_bytes(), 8192U);
  for (int attempt = 1; attempt < 9; ++attempt) {
    ASSERT_EQ(Status().failed(), 0U) << attempt;
    Worker(Report(grant.lease_id(), {{0, 0xA700}}, false));
  }
  Worker(Report(grant.lease_id(), {{0, 0xA700}}, false));
  EXPECT_EQ(Status().failed(), 1U) << "after nine attempts";
}

TEST_F(ServiceTest, SuspendedSessionsKeepWhatIsLeft) {
  Open();
  Ask(Batch(2));
  Announce();
  const auto lease = ScanComplete().at(0).grant().lease_id();
  wire::ClientRequest suspend;
  suspend.mutable_suspend_session()->set_session(kSession);
  EXPECT_EQ(Ask(suspend).session().state(), wire::SESSION_SENDING) << "its lease is still in force";
  auto report = Report(lease, {{0, 0}}, false);
  report.mutable_report()->mutable_give_back()->set_reason(wire::GiveBack::DRAINING);
  Worker(report);
  EXPECT_EQ(Status().state(), wire::SESSION_SUSPENDED);
  EXPECT_EQ(Status().stored(), 1U);
  EXPECT_EQ(Status().failed(), 0U);
  EXPECT_EQ(Open(true).leases(), 1U);
}

TEST_F(ServiceTest, ListsStudiesInTheirOrder) {
  Open();
  Ask(Batch(2, "1.2.3"));
  Ask(Batch(1, "1.2.4"));
  wire::ClientRequest list;
  list.mutable_list_studies()->set_session(kSession);
  list.mutable_list_studies()->set_limit(10);
  const auto studies = Ask(list).studies();
  ASSERT_EQ(studies.studies_size(), 2);
  EXPECT_EQ(studies.studies(0).study_instance_uid(), "1.2.3");
  EXPECT_EQ(studies.studies(0).instances(), 2U);
  EXPECT_EQ(studies.studies(1).instances(), 1U);
}

}  // namespace
}  // namespace dicom_sender
