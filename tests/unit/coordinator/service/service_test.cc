// Tests the coordinator's step with a real ledger in a temporary file: messages as bytes in, messages out.
#include "coordinator/service/service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>

#include "coordinator/ledger/sqlite/sqlite_ledger.h"
#include "proto/validate.h"
#include "tests/support/example_studies.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/coordinator/service/conversation.h"
#include "transport/channel.h"

namespace dicom_sender {
namespace {

using testing::HasSubstr;

constexpr const char* kSession = kConversationSession;
constexpr const char* kCtClass = "1.2.840.10008.5.1.4.1.1.2";

class ServiceTest : public testing::Test {
 protected:
  void SetUp() override { Restart(); }

  void StartAnew() {
    service_.reset();
    ledger_.reset();
    for (const auto& file : std::filesystem::directory_iterator(folder_.path())) std::filesystem::remove(file);
    report_seq_.clear();
    Restart();
  }
  // Simulates kill -9 of the coordinator and a restart on the same ledger.
  void Restart() {
    service_.reset();
    ledger_.reset();
    auto ledger = OpenSqliteLedger((folder_ / "ledger.db").string());
    ASSERT_TRUE(ledger) << ledger.error();
    ledger_ = *std::move(ledger);
    service_ = std::make_unique<Service>(
        *ledger_, SchedulerOptions{.lease_ttl = std::chrono::seconds(150), .leases_above = leases_above_}, metrics_,
        folder_.path().string());
  }

  std::vector<Outgoing> Step(const std::string& peer, const std::string& bytes) {
    return service_->Step({PeerMessage{peer, bytes}}, now_, WallTime(std::chrono::milliseconds(1'000'000))).messages;
  }
  std::vector<Outgoing> Wait(Duration duration) {
    now_ += duration;
    return service_->Step({}, now_, WallTime(std::chrono::milliseconds(1'000'000))).messages;
  }

  wire::ClientReply Ask(wire::ClientRequest request, std::vector<wire::CoordinatorMessage>* to_worker = nullptr) {
    request.set_request_id(7);
    wire::ClientReply reply;
    for (const Outgoing& outgoing : Step("client", Envelope(request).SerializeAsString())) {
      if (outgoing.message.has_client()) {
        EXPECT_EQ(outgoing.peer, "client");
        reply = outgoing.message.client();
      } else if (to_worker) {
        to_worker->push_back(outgoing.message.worker());
      }
    }
    EXPECT_EQ(reply.request_id(), 7U);
    return reply;
  }

  std::vector<wire::CoordinatorMessage> Worker(wire::WorkerMessage message) {
    std::vector<wire::CoordinatorMessage> answers;
    for (const Outgoing& outgoing : Step("worker", Envelope(message).SerializeAsString())) {
      EXPECT_EQ(outgoing.peer, "worker");
      if (outgoing.message.has_worker()) answers.push_back(outgoing.message.worker());
    }
    return answers;
  }

  wire::SessionStatus Open(bool resume = false, bool retry_failed = false) {
    wire::ClientRequest request = OpenSession(kSession, resume);
    request.mutable_open_session()->set_retry_failed(retry_failed);
    const auto status = Ask(request).session();
    if (!resume) BeginScan("", 1);
    return status;
  }
  wire::ClientReply BeginScan(const std::string& indexer, std::uint64_t scan) {
    wire::ClientRequest request = dicom_sender::BeginScan(kSession, scan);
    request.mutable_begin_scan()->set_indexer(indexer);
    return Ask(request);
  }

  static wire::ClientRequest Batch(std::uint32_t files, const std::string& study = "1.2.3") {
    return PublishFiles(kSession, study, {.folder = study, .first = 0, .count = files});
  }

  std::vector<wire::CoordinatorMessage> ScanComplete(const std::string& indexer = "", std::uint64_t scan = 1) {
    wire::ClientRequest request = dicom_sender::ScanComplete(kSession, scan);
    request.mutable_scan_complete()->set_indexer(indexer);
    std::vector<wire::CoordinatorMessage> to_worker;
    EXPECT_TRUE(Ask(request, &to_worker).has_session());
    return to_worker;
  }

  wire::Overview Look() { return service_->Look(now_, WallTime(std::chrono::milliseconds(1'000'000))); }
  wire::SessionStatus Status() {
    wire::ClientRequest request;
    request.mutable_get_session()->set_session(kSession);
    return Ask(request).session();
  }

  static std::uint64_t Left(const wire::SessionStatus& status) {
    return status.total() - status.stored() - status.failed() - status.skipped();
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

  // Returns the next report of the lease.
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
  LeaseId leases_above_ = 0;
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

TEST_F(ServiceTest, ReportsForARemovedLedgerAreRefused) {
  const auto lease_of_a_new_session = [this] {
    Open();
    Ask(Batch(2));
    Announce();
    return ScanComplete().at(0).grant().lease_id();
  };
  leases_above_ = 1000;
  StartAnew();
  const LeaseId earlier = lease_of_a_new_session();
  EXPECT_EQ(earlier, 1001U);
  leases_above_ = 2000;
  StartAnew();
  EXPECT_EQ(lease_of_a_new_session(), 2001U);
  const auto answers = Step("worker", Envelope(Report(earlier, {{0, 0}}, true)).SerializeAsString());
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].message.refusal().lease_id(), earlier);
  EXPECT_FALSE(answers[0].message.refusal().for_good());
  EXPECT_EQ(Status().stored(), 0U) << "its destination has answered nothing";
}

TEST_F(ServiceTest, LeaseIdsGrowEvenIfTheClockWasSetBack) {
  leases_above_ = 1000;
  StartAnew();
  Open();
  Ask(Batch(1));
  Announce();
  const LeaseId first = ScanComplete().at(0).grant().lease_id();
  leases_above_ = 10;
  Restart();
  service_->ResumeSessions(now_, WallTime());
  const auto answers = Announce(2);
  const auto grant = std::find_if(answers.begin(), answers.end(), [](const auto& m) { return m.has_grant(); });
  ASSERT_NE(grant, answers.end());
  EXPECT_EQ(grant->grant().lease_id(), first + 1);
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

TEST_F(ServiceTest, MalformedMessagesAreRefusedAndChangeNothing) {
  const auto garbage = Step("peer", "\xff\xff garbage");
  ASSERT_EQ(garbage.size(), 1U);
  EXPECT_EQ(garbage[0].peer, "peer");
  EXPECT_TRUE(garbage[0].message.has_refusal());
  EXPECT_FALSE(garbage[0].message.refusal().for_good()) << "the next message may be understood";
  wire::ClientRequest request;
  request.mutable_get_session()->set_session(kSession);
  auto other_version = Envelope(request);
  other_version.set_protocol_version(kProtocolVersion + 1);
  const auto refused = Step("peer", other_version.SerializeAsString());
  EXPECT_NE(refused.at(0).message.refusal().reason().find("version"), std::string::npos);
  EXPECT_TRUE(refused.at(0).message.refusal().for_good());
  EXPECT_EQ(metrics_.messages_refused_total.Value(), 2);
  EXPECT_TRUE(Ask(Batch(1)).has_failure()) << "of an unknown session";
  EXPECT_TRUE(Worker(Report(99, {{0, 0}}, true)).empty()) << "of an unknown lease";
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
  ASSERT_EQ(grant.first_page().instances_size(), 2) << "stored instances are not sent again";
  EXPECT_EQ(grant.first_page().instances(0).index(), 1U);
  Worker(Report(grant.lease_id(), {{1, 0}, {2, 0}}, true));
  EXPECT_EQ(Status().state(), wire::SESSION_COMPLETE);
  EXPECT_EQ(ledger_->FindSession(kSession)->counts.resends, 2U);
}

TEST_F(ServiceTest, ALeaseInForceSurvivesACoordinatorRestart) {
  Open();
  Ask(Batch(3));
  Announce();
  const auto lease = ScanComplete().at(0).grant().lease_id();
  Worker(Report(lease, {{0, 0}}, false));

  Restart();
  service_->ResumeSessions(now_, WallTime(std::chrono::milliseconds(1'000'000)));
  EXPECT_EQ(Status().state(), wire::SESSION_SENDING);
  EXPECT_EQ(Status().leases(), 1U) << "the study must not be granted to another worker";
  const auto answers = Announce(1, {lease});
  ASSERT_EQ(answers.size(), 1U) << "nothing is granted";
  EXPECT_THAT(answers[0].status_ack().renewed(), testing::ElementsAre(lease));
  Worker(Report(lease, {{1, 0}, {2, 0}}, true));
  EXPECT_EQ(Status().state(), wire::SESSION_COMPLETE);
  EXPECT_EQ(ledger_->FindSession(kSession)->counts.resends, 0U);
}

TEST_F(ServiceTest, OnlyUnfinishedSessionsContinueAutomatically) {
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

TEST_F(ServiceTest, AnUnreachableDestinationEndsTheSessionAndResumeContinuesIt) {
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
  // Every probe also fails, until the retry time is over.
  for (int i = 0; i < 200 && Status().state() == wire::SESSION_SENDING; ++i) {
    for (const Outgoing& outgoing : Wait(std::chrono::seconds(1))) {
      if (!outgoing.message.worker().has_grant()) continue;
      back.mutable_report()->set_lease_id(outgoing.message.worker().grant().lease_id());  // the first report of each
      Worker(back);
    }
  }
  auto status = Status();
  EXPECT_EQ(status.state(), wire::SESSION_UNREACHABLE);
  EXPECT_EQ(status.end_reason(), "connection refused");
  EXPECT_EQ(Left(status), 2U);
  EXPECT_EQ(status.failed(), 0U) << "nothing of it was at fault";

  EXPECT_EQ(Open(true).state(), wire::SESSION_SENDING);
  status = Status();
  EXPECT_EQ(Left(status), 2U);
  EXPECT_EQ(status.leases(), 1U);
}

TEST_F(ServiceTest, AResumeDoesNotResetAttempts) {
  Open();
  Ask(Batch(2));
  Announce();
  Worker(Report(ScanComplete().at(0).grant().lease_id(), {{0, 0xA700}, {1, 0xC000}}, true));
  wire::ClientRequest cancel;
  cancel.mutable_cancel_session()->set_session(kSession);
  Ask(cancel);
  EXPECT_EQ(Status().state(), wire::SESSION_CANCELLED);
  EXPECT_EQ(Open(true).state(), wire::SESSION_SENDING);
  const std::uint32_t both[] = {0, 1};
  const StudyKey study = ledger_->Studies(ledger_->FindSession(kSession)->key, 0, 1).at(0).key;
  auto facts = ledger_->LoadInstances(study, both);
  EXPECT_EQ(facts[0].state, InstanceState::kDelayed);
  EXPECT_EQ(facts[0].attempts, 1U);
  EXPECT_EQ(facts[1].state, InstanceState::kFailed);

  Ask(cancel);
  Announce(1, {});  // its lease has ended
  ASSERT_EQ(Status().state(), wire::SESSION_CANCELLED);
  Open(true, /*retry_failed=*/true);
  facts = ledger_->LoadInstances(study, both);
  EXPECT_EQ(facts[0].attempts, 1U) << "it had not failed";
  EXPECT_EQ(facts[1].state, InstanceState::kPending);
  EXPECT_EQ(facts[1].attempts, 0U);
}

TEST_F(ServiceTest, RetryFailedSendsFailedInstancesAgain) {
  Open();
  Ask(Batch(2));
  Announce();
  Worker(Report(ScanComplete().at(0).grant().lease_id(), {{0, 0}, {1, 0xC000}}, true));
  EXPECT_EQ(Open(true).state(), wire::SESSION_COMPLETE) << "nothing was left";
  EXPECT_EQ(Status().failed(), 1U);
  EXPECT_EQ(Open(true, true).state(), wire::SESSION_SENDING);
  EXPECT_EQ(Status().failed(), 0U);
}

TEST_F(ServiceTest, ResumeMayChangeSettingsButNotInputAndDestination) {
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
      << "unset options keep their values";

  open->mutable_destination()->set_called_ae("OTHER");
  open->mutable_send_options()->set_max_pdu_bytes(8192);
  open->set_attempts_max(9);
  open->set_dispatch(wire::DISPATCH_AS_FOUND);
  open->mutable_program()->set_threads(7);
  EXPECT_EQ(Ask(request).session().state(), wire::SESSION_SENDING);
  EXPECT_EQ(ledger_->FindSession(kSession)->settings.attempts_max(), 2U) << "it is open: nothing to resume";

  Restart();
  Ask(request);
  const wire::OpenSession after = ledger_->FindSession(kSession)->settings;
  EXPECT_EQ(after.attempts_max(), 9U);
  EXPECT_EQ(after.dispatch(), wire::DISPATCH_AS_FOUND);
  EXPECT_EQ(after.program().threads(), 7U);
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

TEST_F(ServiceTest, SuspendedSessionsKeepTheirPendingInstances) {
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

TEST_F(ServiceTest, ASuspensionCanBeUndoneWhileALeaseIsInForce) {
  Open();
  Ask(Batch(1));
  Ask(Batch(1, "1.2.4"));
  Announce();
  const auto lease = ScanComplete().at(0).grant().lease_id();
  wire::ClientRequest suspend;
  suspend.mutable_suspend_session()->set_session(kSession);
  EXPECT_TRUE(Ask(suspend).session().stopping());
  const auto resumed = Open(true);
  EXPECT_FALSE(resumed.stopping());
  EXPECT_EQ(resumed.state(), wire::SESSION_SENDING);
  EXPECT_FALSE(ledger_->LoadSession(ledger_->Sessions().at(0)).ending) << "so it also continues after a restart";
  Worker(Report(lease, {{0, 0}}, true));
  EXPECT_EQ(Status().leases(), 1U) << "the other study is granted";
}

TEST_F(ServiceTest, ACancelledLeaseDoesNotCountAsLost) {
  Open();
  Ask(Batch(2));
  Announce();
  const auto lease = ScanComplete().at(0).grant().lease_id();
  wire::ClientRequest cancel;
  cancel.mutable_cancel_session()->set_session(kSession);
  std::vector<wire::CoordinatorMessage> to_worker;
  Ask(cancel, &to_worker);
  ASSERT_EQ(to_worker.size(), 1U);
  EXPECT_THAT(to_worker[0].status_ack().ended(), testing::ElementsAre(lease));
}

TEST_F(ServiceTest, ReportsWhatASessionWaitsFor) {
  Open();
  EXPECT_THAT(Status().waits_for(), HasSubstr("the scan"));
  Ask(Batch(1));
  Ask(Batch(1, "1.2.4"));
  ScanComplete();
  EXPECT_THAT(Status().waits_for(), HasSubstr("none is connected"));
  LeaseId lease = 0;
  for (const auto& message : Announce()) lease = std::max(lease, message.grant().lease_id());
  ASSERT_GT(lease, 0U);
  EXPECT_EQ(Status().waits_for(), "") << "it is being sent";
  wire::ClientRequest suspend;
  suspend.mutable_suspend_session()->set_session(kSession);
  EXPECT_THAT(Ask(suspend).session().waits_for(), HasSubstr("1 study that is being sent"));
  auto report = Report(lease, {{0, 0}}, true);
  Worker(report);
  EXPECT_EQ(Status().waits_for(), "suspended; to continue: dicom-ctl resume " + std::string(kSession));
}

TEST_F(ServiceTest, WorkersAreIdleOrSendingAndRemovedAfterDraining) {
  wire::ClientRequest list;
  list.mutable_list_workers();
  Announce();
  EXPECT_EQ(Ask(list).workers().workers(0).state(), "idle");
  Open();
  Ask(Batch(1));
  const auto lease = ScanComplete().at(0).grant().lease_id();
  EXPECT_EQ(Ask(list).workers().workers(0).state(), "sending");
  wire::ClientRequest drain;
  drain.mutable_drain_worker()->set_worker("w");
  Ask(drain);
  EXPECT_EQ(Ask(list).workers().workers(0).state(), "draining");
  Worker(Report(lease, {{0, 0}}, true));
  EXPECT_EQ(Ask(list).workers().workers_size(), 0);
  EXPECT_EQ(Ask(list).workers().total(), 0U);
}

TEST_F(ServiceTest, ReportsTheThroughputOfASession) {
  Open();
  Ask(Batch(30));
  Announce();
  const auto lease = ScanComplete().at(0).grant().lease_id();
  for (std::uint32_t i = 0; i < 10; ++i) {
    service_->MeasurePaces(now_);
    Worker(Report(lease, {{i, i == 0 ? 0xC000U : 0U}}, false));
    now_ += std::chrono::seconds(1);
  }
  service_->MeasurePaces(now_);
  wire::ClientRequest list;
  list.mutable_list_sessions()->set_limit(1);
  const auto session = Ask(list).sessions().sessions(0);
  EXPECT_DOUBLE_EQ(session.instances_per_second(), 0.9) << "failed instances are not progress";
  EXPECT_EQ(session.seconds_left(), 23U) << "20 that are pending";
  EXPECT_EQ(session.status().pending(), 20U);
}

TEST_F(ServiceTest, ReportsNoTimeLeftDuringAScan) {
  auto request = OpenSession(kSession, false);
  request.mutable_open_session()->set_dispatch(wire::DISPATCH_AS_FOUND);
  Ask(request);
  BeginScan("", 1);
  Announce();
  std::vector<wire::CoordinatorMessage> to_worker;
  Ask(Batch(30), &to_worker);
  const auto lease = to_worker.at(0).grant().lease_id();
  for (std::uint32_t i = 0; i < 10; ++i) {
    service_->MeasurePaces(now_);
    Worker(Report(lease, {{i, 0}}, false));
    now_ += std::chrono::seconds(1);
  }
  service_->MeasurePaces(now_);
  wire::ClientRequest list;
  list.mutable_list_sessions()->set_limit(1);
  const auto session = Ask(list).sessions().sessions(0);
  EXPECT_DOUBLE_EQ(session.instances_per_second(), 1);
  EXPECT_FALSE(session.has_seconds_left()) << "more files may be found";
}

TEST_F(ServiceTest, SeveralIndexersFeedOneSession) {
  Open();
  EXPECT_EQ(BeginScan("b", 7).scan_begun().scan(), 7U);
  EXPECT_EQ(BeginScan("b", 5).scan_begun().scan(), 7U) << "the last one, so that the indexer can go above it";
  Ask(Batch(1, "1.2.3"));
  Announce();
  EXPECT_TRUE(ScanComplete().empty()) << "the other indexer is still scanning";
  EXPECT_EQ(Status().state(), wire::SESSION_SCANNING);
  Ask(Batch(1, "1.2.4"));
  EXPECT_TRUE(ScanComplete("b", 5).empty()) << "late, from before its restart";
  EXPECT_EQ(ScanComplete("b", 7).size(), 1U);
  EXPECT_EQ(Status().state(), wire::SESSION_SENDING);
}

TEST_F(ServiceTest, ANewScanReopensACompleteSessionUntilItIsComplete) {
  Open();
  Ask(Batch(1));
  Announce();
  Worker(Report(ScanComplete().at(0).grant().lease_id(), {{0, 0}}, true));
  ASSERT_EQ(Status().state(), wire::SESSION_COMPLETE);
  BeginScan("", 2);
  EXPECT_EQ(Status().state(), wire::SESSION_SCANNING);
  EXPECT_TRUE(Ask(Batch(1)).has_publish_ack()) << "nothing new";
  EXPECT_TRUE(ScanComplete("", 2).empty());
  EXPECT_EQ(Status().state(), wire::SESSION_COMPLETE);
  EXPECT_EQ(Status().stored(), 1U);
}

TEST_F(ServiceTest, ASuspendedSessionAcceptsBatchesButGrantsNoLeases) {
  Open();
  Announce();
  wire::ClientRequest suspend;
  suspend.mutable_suspend_session()->set_session(kSession);
  EXPECT_EQ(Ask(suspend).session().state(), wire::SESSION_SUSPENDED);
  EXPECT_TRUE(Ask(Batch(2)).has_publish_ack());
  EXPECT_TRUE(ScanComplete().empty());
  EXPECT_EQ(Status().state(), wire::SESSION_SUSPENDED);
  EXPECT_TRUE(Status().scan_complete());
  EXPECT_EQ(Open(true).leases(), 1U);
  EXPECT_EQ(Status().total(), 2U);
}

TEST_F(ServiceTest, ACancelledSessionKeepsPendingInstancesAndRefusesBatches) {
  Open();
  Ask(Batch(2));
  Announce();
  const auto lease = ScanComplete().at(0).grant().lease_id();
  Worker(Report(lease, {{0, 0}}, false));
  wire::ClientRequest cancel;
  cancel.mutable_cancel_session()->set_session(kSession);
  std::vector<wire::CoordinatorMessage> to_worker;
  EXPECT_TRUE(Ask(cancel, &to_worker).session().stopping());
  ASSERT_EQ(to_worker.size(), 1U);
  EXPECT_THAT(to_worker[0].status_ack().revoked(), testing::ElementsAre(lease));
  Announce(1, {});
  const auto status = Status();
  EXPECT_EQ(status.state(), wire::SESSION_CANCELLED);
  EXPECT_EQ(status.stored(), 1U);
  EXPECT_EQ(status.failed(), 0U);
  EXPECT_EQ(Left(status), 1U);
  EXPECT_TRUE(Ask(Batch(1)).has_failure());
  EXPECT_TRUE(BeginScan("", 2).has_failure());
  EXPECT_EQ(Ask(cancel).session().state(), wire::SESSION_CANCELLED) << "a repetition changes nothing";
  EXPECT_EQ(Open(true).state(), wire::SESSION_SENDING);
  EXPECT_EQ(Left(Status()), 1U);
}

TEST_F(ServiceTest, APauseOrCancellationSurvivesARestart) {
  for (const bool cancel : {false, true}) {
    StartAnew();
    Open();
    Ask(Batch(2));
    Announce();
    const auto lease = ScanComplete().at(0).grant().lease_id();
    wire::ClientRequest request;
    if (cancel) {
      request.mutable_cancel_session()->set_session(kSession);
    } else {
      request.mutable_suspend_session()->set_session(kSession);
    }
    EXPECT_TRUE(Ask(request).session().stopping());
    Restart();
    service_->ResumeSessions(now_, WallTime(std::chrono::milliseconds(1'000'000)));
    EXPECT_TRUE(Status().stopping());
    Announce(1, {lease});
    Worker(Report(lease, {{0, 0}}, false));
    Announce(2);
    EXPECT_EQ(Status().state(), cancel ? wire::SESSION_CANCELLED : wire::SESSION_SUSPENDED);
    EXPECT_EQ(Status().stored(), 1U);
  }
}

TEST_F(ServiceTest, ASuspendedSessionCanBeCancelled) {
  Open();
  Ask(Batch(2));
  wire::ClientRequest request;
  request.mutable_suspend_session()->set_session(kSession);
  Ask(request);
  request.mutable_cancel_session()->set_session(kSession);
  EXPECT_EQ(Ask(request).session().state(), wire::SESSION_CANCELLED);
  EXPECT_EQ(Left(Status()), 2U);
}

TEST_F(ServiceTest, FailuresAreRequeuedInOpenAndEndedSessions) {
  Open();
  Ask(Batch(3));
  Announce();
  const auto lease = ScanComplete().at(0).grant().lease_id();
  Worker(Report(lease, {{0, 0xC000}, {1, 0xA900}}, false));
  wire::ClientRequest requeue;
  requeue.mutable_requeue_instances()->set_session(kSession);
  requeue.mutable_requeue_instances()->set_status(0xC000);
  EXPECT_EQ(Ask(requeue).requeue_ack().instances(), 1U);
  EXPECT_EQ(Status().failed(), 1U);
  auto again = Worker(Report(lease, {{2, 0}}, true));
  ASSERT_EQ(again.size(), 2U) << "acknowledged, and leased for the one that is left";
  const auto& page = again[0].grant().first_page();
  ASSERT_EQ(page.instances_size(), 1);
  EXPECT_EQ(page.instances(0).index(), 0U);
  Worker(Report(again[0].grant().lease_id(), {{0, 0}}, true));
  ASSERT_EQ(Status().state(), wire::SESSION_COMPLETE);

  requeue.mutable_requeue_instances()->clear_status();
  requeue.mutable_requeue_instances()->set_study_instance_uid("9.9");
  EXPECT_EQ(Ask(requeue).requeue_ack().instances(), 0U);
  EXPECT_EQ(Status().state(), wire::SESSION_COMPLETE) << "nothing to do";
  requeue.mutable_requeue_instances()->clear_study_instance_uid();
  EXPECT_EQ(Ask(requeue).requeue_ack().instances(), 1U);
  EXPECT_EQ(Status().state(), wire::SESSION_SENDING);
  EXPECT_EQ(Status().leases(), 1U);
}

TEST_F(ServiceTest, AFailureNamesItsWorkerAndCanBeRequeuedByWorker) {
  Open();
  Ask(Batch(3));
  Announce();
  Worker(Report(ScanComplete().at(0).grant().lease_id(), {{0, 0xC000}, {1, 0xA900}, {2, 0}}, true));
  wire::ClientRequest list;
  list.mutable_list_failures()->set_session(kSession);
  list.mutable_list_failures()->set_limit(10);
  const auto failures = Ask(list).failures();
  ASSERT_EQ(failures.failures_size(), 2);
  EXPECT_EQ(failures.failures(0).worker(), "w");
  EXPECT_EQ(Look().failures().failures(0).failure().worker(), "w");

  const auto requeued = [this](const std::string& worker, const std::string& reason) {
    wire::ClientRequest request;
    request.mutable_requeue_instances()->set_session(kSession);
    request.mutable_requeue_instances()->set_worker(worker);
    request.mutable_requeue_instances()->set_reason(reason);
    return Ask(request).requeue_ack().instances();
  };
  EXPECT_EQ(requeued("another", "cannot understand"), 0U);
  EXPECT_EQ(requeued("w", "no such reason"), 0U);
  EXPECT_EQ(Status().state(), wire::SESSION_COMPLETE);
  EXPECT_EQ(requeued("w", "CANNOT understand"), 1U);
  EXPECT_EQ(Status().state(), wire::SESSION_SENDING);
  EXPECT_EQ(Status().failed(), 1U);
}

TEST_F(ServiceTest, AWorkerCanBeDrained) {
  wire::ClientRequest drain;
  drain.mutable_drain_worker()->set_worker("w");
  EXPECT_EQ(Ask(drain).failure().reason(), "worker 'w' is not connected");
  Announce();
  std::vector<wire::CoordinatorMessage> to_worker;
  EXPECT_TRUE(Ask(drain, &to_worker).has_drain_ack());
  ASSERT_EQ(to_worker.size(), 1U);
  EXPECT_TRUE(to_worker[0].status_ack().drain());
  Open();
  Ask(Batch(1));
  EXPECT_TRUE(ScanComplete().empty());
}

TEST_F(ServiceTest, SizesThatWouldOverflowTheCountsAreRefused) {
  Open();
  wire::ClientRequest half = Batch(1);
  half.mutable_publish_batch()->mutable_studies(0)->mutable_instances(0)->set_size_bytes(kTotalBytesMax / 2 + 1);
  EXPECT_TRUE(Ask(half).has_publish_ack());
  half.mutable_publish_batch()->mutable_studies(0)->mutable_instances(0)->set_path("other");
  const wire::ClientReply refused = Ask(half);
  EXPECT_NE(refused.failure().reason().find("more bytes than are possible"), std::string::npos);
  EXPECT_EQ(Status().total_bytes(), kTotalBytesMax / 2 + 1) << "nothing of it is accepted";
  EXPECT_TRUE(Ask(Batch(2, "1.2.4")).has_publish_ack()) << "others are";
}

TEST_F(ServiceTest, AWorkerIsNotifiedWhenItsNameIsTaken) {
  Announce(5'000'000'000);
  wire::WorkerMessage message;
  message.mutable_status()->set_worker_id("w");
  message.mutable_status()->set_incarnation(2'500'000'000);
  const auto answers = Step("other", Envelope(message).SerializeAsString());
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].peer, "other");
  EXPECT_TRUE(answers[0].message.refusal().for_good());
  EXPECT_EQ(
      answers[0].message.refusal().reason(),
      "another worker named 'w' has started since, or this one's clock was set back by at least 2.5 s; give each "
      "worker its own --worker-id, or correct the clock and restart the worker");
  Open();
  Ask(Batch(1));
  EXPECT_EQ(ScanComplete().size(), 1U) << "messages go to the later one";
}

TEST_F(ServiceTest, ListsSessionsWorkersDestinationsAndFailures) {
  Open();
  Ask(Batch(3));
  Announce();
  wire::ClientRequest request;
  const auto lease = ScanComplete().at(0).grant().lease_id();
  Worker(Report(lease, {{0, 0xC000}, {1, 0xA900}}, false));

  request.mutable_list_sessions()->set_limit(10);
  const auto sessions = Ask(request).sessions();
  ASSERT_EQ(sessions.sessions_size(), 1);
  EXPECT_EQ(sessions.sessions(0).status().session(), kSession);
  EXPECT_EQ(sessions.sessions(0).status().failed(), 2U);
  request.mutable_list_sessions()->set_after(sessions.sessions(0).key());
  EXPECT_EQ(Ask(request).sessions().sessions_size(), 0);

  request.mutable_list_workers();
  const auto workers = Ask(request).workers();
  ASSERT_EQ(workers.workers_size(), 1);
  EXPECT_EQ(workers.workers(0).worker(), "w");
  EXPECT_EQ(workers.workers(0).capacity(), 1U);
  EXPECT_EQ(workers.workers(0).leases(), 1U);

  request.mutable_list_destinations();
  const auto destinations = Ask(request).destinations();
  ASSERT_EQ(destinations.destinations_size(), 1);
  EXPECT_EQ(destinations.destinations(0).destination(), "PACS:104@127.0.0.1");
  EXPECT_EQ(destinations.destinations(0).leases(), 1U);

  request.mutable_list_failures()->set_session(kSession);
  request.mutable_list_failures()->set_limit(1);
  const auto first = Ask(request).failures();
  ASSERT_EQ(first.failures_size(), 1);
  EXPECT_EQ(first.failures(0).path(), "/data/1.2.3/0");
  EXPECT_EQ(first.failures(0).status(), 0xC000U);
  ASSERT_TRUE(first.has_next());
  *request.mutable_list_failures()->mutable_cursor() = first.next();
  request.mutable_list_failures()->set_limit(5);
  const auto second = Ask(request).failures();
  ASSERT_EQ(second.failures_size(), 1);
  EXPECT_EQ(second.failures(0).status(), 0xA900U);
  EXPECT_FALSE(second.has_next());
}

TEST_F(ServiceTest, ReturnsTheReportAndTheSummaryFileOfASession) {
  Open();
  Ask(Batch(2));
  Announce();
  wire::ClientRequest read;
  read.mutable_read_summary()->set_session(kSession);
  EXPECT_TRUE(Ask(read).has_failure()) << "it has not ended";
  Worker(Report(ScanComplete().at(0).grant().lease_id(), {{0, 0}, {1, 0xC000}}, true));
  wire::ClientRequest ask;
  ask.mutable_get_report()->set_session(kSession);
  auto report = Ask(ask).report();
  EXPECT_EQ(report.status().stored(), 1U);
  EXPECT_EQ(report.associations(), 1U);
  EXPECT_EQ(report.workers(), 1U);
  EXPECT_EQ(report.threads(), 1U);
  ASSERT_EQ(report.failure_reasons_size(), 1);
  EXPECT_EQ(report.failure_reasons(0).instances(), 1U);
  EXPECT_EQ(report.summary_file(), "") << "it has not been written";
  EXPECT_TRUE(Ask(read).has_failure());

  const std::string text(kSummaryPartBytes + 5, 'x');
  const std::string file = folder_ / ("dicom_sender_summary_" + std::string(kSession) + ".json");
  WriteFile(file, text);
  EXPECT_EQ(Ask(ask).report().summary_file(), file);
  const auto first = Ask(read).summary_part();
  EXPECT_EQ(first.data().size(), kSummaryPartBytes);
  EXPECT_EQ(first.next_offset(), kSummaryPartBytes);
  read.mutable_read_summary()->set_offset(first.next_offset());
  const auto last = Ask(read).summary_part();
  EXPECT_EQ(last.data(), "xxxxx");
  EXPECT_EQ(last.next_offset(), 0U);
}

TEST_F(ServiceTest, LateOutcomesUpdateTheSummary) {
  Open();
  Ask(Batch(2));
  Announce();
  const auto lease = ScanComplete().at(0).grant().lease_id();
  wire::ClientRequest cancel;
  cancel.mutable_cancel_session()->set_session(kSession);
  Ask(cancel);
  Announce(1, {});
  ASSERT_EQ(Status().state(), wire::SESSION_CANCELLED);
  const auto late = Envelope(Report(lease, {{0, 0}}, false)).SerializeAsString();
  const auto result = service_->Step({PeerMessage{"worker", late}}, now_, WallTime());
  EXPECT_EQ(Status().stored(), 1U);
  EXPECT_EQ(result.ended, std::vector{ledger_->FindSession(kSession)->key}) << "its summary is to be written again";
}

TEST_F(ServiceTest, LateComparisonsUpdateTheSummary) {
  Open();
  Ask(Batch(1));
  wire::ClientRequest cancel;
  cancel.mutable_cancel_session()->set_session(kSession);
  Ask(cancel);
  wire::ClientRequest record;
  record.mutable_record_comparisons()->set_session(kSession);
  const auto bytes = Envelope(record).SerializeAsString();
  const auto result = service_->Step({PeerMessage{"indexer", bytes}}, now_, WallTime());
  EXPECT_EQ(result.ended, std::vector{ledger_->FindSession(kSession)->key});
}

TEST_F(ServiceTest, ReportsWhichSessionsHaveEnded) {
  Open();
  Ask(Batch(1));
  Announce();
  const auto lease = ScanComplete().at(0).grant().lease_id();
  const auto step = [this](const wire::WorkerMessage& message) {
    return service_->Step({PeerMessage{"worker", Envelope(message).SerializeAsString()}}, now_, WallTime()).ended;
  };
  EXPECT_TRUE(step(Report(lease, {}, false)).empty());
  EXPECT_EQ(step(Report(lease, {{0, 0}}, true)), std::vector{ledger_->FindSession(kSession)->key});
}

TEST_F(ServiceTest, ALateReportWithoutOutcomesUpdatesNoSummary) {
  Open();
  Ask(Batch(1));
  Announce();
  const auto lease = ScanComplete().at(0).grant().lease_id();
  Worker(Report(lease, {{0, 0}}, true));
  ASSERT_EQ(Status().state(), wire::SESSION_COMPLETE);
  const auto ended = [&](const wire::WorkerMessage& message) {
    return service_->Step({PeerMessage{"worker", Envelope(message).SerializeAsString()}}, now_, WallTime()).ended;
  };
  EXPECT_TRUE(ended(Report(lease, {}, true)).empty());
  EXPECT_EQ(ended(Report(lease, {{0, 0}}, true)).size(), 1U);
}

// A message that was in transit on an old connection must not redirect the worker's messages to it.
TEST_F(ServiceTest, AnOvertakenStatusDoesNotMoveAWorker) {
  const auto status = [](std::uint64_t seq) { return Envelope(StatusOf("w", seq, 1, {})).SerializeAsString(); };
  Open();
  Ask(Batch(1));
  Step("the new connection", status(2));
  EXPECT_TRUE(Step("the old connection", status(1)).empty());
  const auto complete = dicom_sender::ScanComplete(kSession, 1);
  std::vector<std::string> granted;
  for (const Outgoing& outgoing : Step("client", Envelope(complete).SerializeAsString())) {
    if (outgoing.message.worker().has_grant()) granted.push_back(outgoing.peer);
  }
  EXPECT_EQ(granted, std::vector<std::string>{"the new connection"});
}

TEST_F(ServiceTest, OutcomesAreCountedByDestinationAndReason) {
  Open();
  const auto& to_pacs = metrics_.destinations.InstancesTotal("PACS:104@127.0.0.1");
  EXPECT_EQ(to_pacs.at("stored")->Value(), 0);
  Ask(Batch(6));
  Announce();
  const auto lease = ScanComplete().at(0).grant().lease_id();
  auto report = Report(lease, {{0, 0}, {1, 0xB000}, {2, 0xC123}, {3, 0xA900}}, false);
  auto* unsendable = report.mutable_report()->add_outcomes();
  unsendable->set_index(4);
  unsendable->set_kind(wire::Outcome::NOT_SENDABLE);
  Worker(report);
  Worker(report);  // a repeated report counts once
  Worker(Report(lease, {{5, 0}}, true));
  EXPECT_EQ(metrics_.instances_total["stored"].Value(), 2);
  EXPECT_EQ(metrics_.instances_total["failed"].Value(), 3);
  EXPECT_EQ(to_pacs.at("stored")->Value(), 2);
  EXPECT_EQ(to_pacs.at("stored_with_warning")->Value(), 1);
  EXPECT_EQ(to_pacs.at("failed")->Value(), 3) << "though the session has ended with the last report";
  EXPECT_EQ(metrics_.failures_total["cannot_understand"].Value(), 1);
  EXPECT_EQ(metrics_.failures_total["dataset_mismatch"].Value(), 1);
  EXPECT_EQ(metrics_.failures_total["not_sendable"].Value(), 1);
}

TEST_F(ServiceTest, AnAssociationLostOnTheLastAttemptHasItsOwnReason) {
  Open();
  Ask(Batch(1));
  Announce();
  LeaseId lease = ScanComplete().at(0).grant().lease_id();
  for (int attempt = 0; attempt < 2; ++attempt) {
    auto report = Report(lease, {{0, 0}}, true);
    report.mutable_report()->mutable_outcomes(0)->set_kind(wire::Outcome::ASSOCIATION_LOST);
    Worker(report);
    if (attempt == 1) break;
    for (const Outgoing& outgoing : Wait(std::chrono::minutes(1))) {
      if (outgoing.message.worker().has_grant()) lease = outgoing.message.worker().grant().lease_id();
    }
  }
  EXPECT_EQ(metrics_.failures_total["association_lost"].Value(), 1);
  EXPECT_EQ(metrics_.instances_total["delayed"].Value(), 1);
}

TEST_F(ServiceTest, InstancesSettledByTheScanAreCountedOnce) {
  Open();
  auto batch = Batch(3);
  auto& instances = *batch.mutable_publish_batch()->mutable_studies(0)->mutable_instances();
  instances[1].set_defect("it is cut off");
  instances[2].set_sop_instance_uid(instances[0].sop_instance_uid());
  Ask(batch);
  Ask(batch);
  EXPECT_EQ(metrics_.instances_total["failed"].Value(), 1);
  EXPECT_EQ(metrics_.failures_total["defective_file"].Value(), 1);
  EXPECT_EQ(metrics_.instances_total["skipped"].Value(), 1);
  const wire::FailuresPage failures = Look().failures();
  ASSERT_EQ(failures.failures_size(), 1);
  EXPECT_EQ(failures.failures(0).failure().reason(), "it is cut off");
  EXPECT_EQ(failures.failures(0).failure().path(), "/data/1.2.3/1");
  EXPECT_EQ(failures.failures(0).session(), kSession);
}

TEST_F(ServiceTest, TheSnapshotShowsOpenSessions) {
  Open();
  Ask(Batch(3));
  wire::Overview overview = Look();
  ASSERT_EQ(overview.sessions().sessions_size(), 1);
  EXPECT_EQ(overview.sessions().at_ms(), 1'000'000);
  EXPECT_EQ(overview.sessions().sessions(0).status().state(), wire::SESSION_SCANNING);
  EXPECT_EQ(overview.sessions().sessions(0).destination(), "PACS:104@127.0.0.1");
  EXPECT_EQ(overview.sessions().sessions(0).status().total(), 3U);
  EXPECT_EQ(metrics_.sessions_scanning.Value(), 1);
  EXPECT_EQ(metrics_.sessions_sending.Value(), 0);
  EXPECT_FALSE(overview.sessions().sessions(0).has_end_ms());
  EXPECT_EQ(overview.workers().workers_size(), 0);

  Announce();
  const auto lease = ScanComplete().at(0).grant().lease_id();
  overview = Look();
  ASSERT_EQ(overview.workers().workers_size(), 1);
  EXPECT_EQ(overview.workers().total(), 1U);
  EXPECT_EQ(overview.workers().workers(0).leases(), 1U);
  ASSERT_EQ(overview.destinations().destinations_size(), 1);
  EXPECT_EQ(overview.destinations().destinations(0).leases(), 1U);
  EXPECT_EQ(metrics_.sessions_sending.Value(), 1);
  const std::string text = prometheus::TextSerializer().Serialize(registry_.Collect());
  const std::string pacs = "{destination=\"PACS:104@127.0.0.1\"} ";
  EXPECT_THAT(text, HasSubstr("destination_pending_instances" + pacs + "3\n"));
  EXPECT_THAT(text, HasSubstr("destination_associations" + pacs + "1\n"));

  Worker(Report(lease, {{0, 0}, {1, 0xC001}, {2, 0}}, true));
  overview = Look();
  EXPECT_EQ(overview.sessions().sessions(0).status().state(), wire::SESSION_COMPLETE) << "ended ones are shown, too";
  EXPECT_EQ(overview.sessions().sessions(0).end_ms(), 1'000'000);
  EXPECT_EQ(overview.sessions().not_shown(), 0U);
  EXPECT_EQ(metrics_.sessions_sending.Value(), 0);
  ASSERT_EQ(overview.failures().failures_size(), 1);
  EXPECT_EQ(overview.failures().failures(0).failure().status(), 0xC001U);
  EXPECT_EQ(overview.failures().failures(0).failure().path(), "/data/1.2.3/1");
  EXPECT_EQ(overview.failures().failures(0).session(), kSession);
}

TEST_F(ServiceTest, PendingInstancesOfAnEndedSessionHaveNoOutcome) {
  Open();
  Ask(Batch(3));
  wire::ClientRequest cancel;
  cancel.mutable_cancel_session()->set_session(kSession);
  Ask(cancel);
  const wire::SessionStatus status = Look().sessions().sessions(0).status();
  EXPECT_EQ(status.state(), wire::SESSION_CANCELLED);
  EXPECT_EQ(Left(status), 3U);
  EXPECT_EQ(status.failed(), 0U);
  for (const char* outcome : {"failed", "abandoned"}) {
    EXPECT_EQ(metrics_.instances_total[outcome].Value(), 0) << outcome;
    EXPECT_EQ(metrics_.destinations.InstancesTotal("PACS:104@127.0.0.1").at(outcome)->Value(), 0) << outcome;
  }
}

TEST_F(ServiceTest, SettledBytesAreCountedFromTheFirstSnapshotOn) {
  Open();
  Ask(Batch(4));
  Announce();
  const auto lease = ScanComplete().at(0).grant().lease_id();
  const auto settled = [this] {
    Look();
    const std::string text = prometheus::TextSerializer().Serialize(registry_.Collect());
    const std::string name = "\ndicom_sender_destination_settled_bytes_total{destination=\"PACS:104@127.0.0.1\"} ";
    return std::stoull(text.substr(text.find(name) + name.size()));
  };
  EXPECT_EQ(settled(), 0U);
  Worker(Report(lease, {{0, 0}, {1, 0}}, false));
  const auto two = settled();
  EXPECT_GT(two, 0U);
  EXPECT_EQ(settled(), two);
  Restart();
  service_->ResumeSessions(now_, WallTime());
  EXPECT_EQ(settled(), two) << "instances counted by an earlier coordinator are not counted again";
}

TEST_F(ServiceTest, AnAsFoundSessionIsNotShownAsScanning) {
  auto request = OpenSession(kSession, false);
  request.mutable_open_session()->set_dispatch(wire::DISPATCH_AS_FOUND);
  Ask(request);
  Look();
  EXPECT_EQ(metrics_.sessions_scanning.Value(), 0);
  EXPECT_EQ(metrics_.sessions_sending.Value(), 1);
}

TEST_F(ServiceTest, SuspendedSessionsAreShownHoweverManyHaveEndedSince) {
  Open();
  wire::ClientRequest pause;
  pause.mutable_suspend_session()->set_session(kSession);
  Ask(pause);
  for (std::size_t i = 0; i < kShownEndedMax + 5; ++i) {
    const std::string session = "22222222-2222-4333-8444-" + std::to_string(100000000000 + i);
    Ask(OpenSession(session, false));
    wire::ClientRequest cancel;
    cancel.mutable_cancel_session()->set_session(session);
    Ask(cancel);
  }
  for (int restarts = 0; restarts < 2; ++restarts) {
    const auto page = Look().sessions();
    ASSERT_EQ(page.sessions_size(), static_cast<int>(kShownEndedMax + 1));
    EXPECT_EQ(page.sessions(0).status().state(), wire::SESSION_SUSPENDED);
    EXPECT_EQ(page.not_shown(), 5U);
    Restart();
    service_->ResumeSessions(now_, WallTime());
  }
}

TEST_F(ServiceTest, ASuspendedSessionThatIsCancelledIsShownOnce) {
  Open();
  for (const bool cancels : {false, true}) {
    wire::ClientRequest request;
    if (cancels) {
      request.mutable_cancel_session()->set_session(kSession);
    } else {
      request.mutable_suspend_session()->set_session(kSession);
    }
    Ask(request);
    const auto page = Look().sessions();
    ASSERT_EQ(page.sessions_size(), 1);
    EXPECT_EQ(page.sessions(0).status().state(), cancels ? wire::SESSION_CANCELLED : wire::SESSION_SUSPENDED);
    EXPECT_EQ(page.not_shown(), 0U);
  }
}

TEST_F(ServiceTest, AFailureRequeuedBeforeTheSnapshotIsNotShown) {
  Open();
  Ask(Batch(2));
  Announce();
  const auto lease = ScanComplete().at(0).grant().lease_id();
  Worker(Report(lease, {{0, 0xC001}, {1, 0}}, true));
  wire::ClientRequest requeue;
  requeue.mutable_requeue_instances()->set_session(kSession);
  Ask(requeue);
  EXPECT_EQ(Look().failures().failures_size(), 0);
}

TEST_F(ServiceTest, EndsAreCountedByTheirState) {
  Open();
  wire::ClientRequest cancel;
  cancel.mutable_cancel_session()->set_session(kSession);
  Ask(cancel);
  EXPECT_EQ(metrics_.sessions_ended_total["cancelled"].Value(), 1);
  Open(true);
  wire::ClientRequest pause;
  pause.mutable_suspend_session()->set_session(kSession);
  Ask(pause);
  EXPECT_EQ(metrics_.sessions_ended_total["suspended"].Value(), 1);
  Open(true);
  Ask(Batch(1));
  Announce();
  const auto lease = ScanComplete().at(0).grant().lease_id();
  auto refused = Report(lease, {}, true);
  refused.mutable_report()->mutable_give_back()->set_reason(wire::GiveBack::DESTINATION_REFUSED);
  Worker(refused);
  EXPECT_EQ(metrics_.sessions_ended_total["refused"].Value(), 1);
  EXPECT_EQ(metrics_.sessions_ended_total["complete"].Value(), 0);
}

TEST_F(ServiceTest, TheNumberOfKeptFailuresIsLimited) {
  Open();
  Ask(Batch(60));
  Announce();
  const auto lease = ScanComplete().at(0).grant().lease_id();
  std::map<std::uint32_t, std::uint32_t> statuses;
  for (std::uint32_t i = 0; i < 60; ++i) statuses[i] = 0xC000;
  Worker(Report(lease, statuses, true));
  const wire::FailuresPage failures = Look().failures();
  ASSERT_EQ(failures.failures_size(), static_cast<int>(RecentFailures::kMax));
  EXPECT_EQ(failures.failures(0).failure().path(), "/data/1.2.3/59") << "the newest first";
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
