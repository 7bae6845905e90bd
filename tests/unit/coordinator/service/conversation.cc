#include "tests/unit/coordinator/service/conversation.h"

#include <fmt/format.h>

#include "coordinator/ledger/sqlite/sqlite_ledger.h"
#include "proto/validate.h"

namespace dicom_sender {
namespace {

constexpr TimePoint kNow{std::chrono::seconds(1)};
constexpr WallTime kWall{std::chrono::milliseconds(1'000'000)};
constexpr std::uint32_t kLargeStudy = 200;  // more than one page
constexpr std::uint32_t kSmallStudy = 3;

wire::ClientRequest Publish(const std::string& study, std::uint32_t first, std::uint32_t count,
                            const std::string& folder) {
  return PublishFiles(kConversationSession, study, {.folder = folder, .first = first, .count = count});
}

wire::ClientRequest PublishDefect() {
  auto request = Publish("1.2.3", 900, 1, "defect");
  request.mutable_publish_batch()->mutable_studies(0)->mutable_instances(0)->set_defect("no pixel data");
  return request;
}

wire::ClientRequest Suspend() {
  wire::ClientRequest request;
  request.mutable_suspend_session()->set_session(kConversationSession);
  return request;
}
wire::ClientRequest Cancel() {
  wire::ClientRequest request;
  request.mutable_cancel_session()->set_session(kConversationSession);
  return request;
}
wire::ClientRequest Requeue() {
  wire::ClientRequest request;
  request.mutable_requeue_instances()->set_session(kConversationSession);
  return request;
}
wire::ClientRequest Drain(const std::string& worker) {
  wire::ClientRequest request;
  request.mutable_drain_worker()->set_worker(worker);
  return request;
}

wire::WorkerMessage PageOf(LeaseId lease, std::uint32_t from_index) {
  wire::WorkerMessage message;
  message.mutable_page_request()->set_lease_id(lease);
  message.mutable_page_request()->set_from_index(from_index);
  return message;
}
wire::WorkerMessage LossUnder(LeaseId lease, std::uint64_t seq) {
  wire::WorkerMessage message;
  message.mutable_report()->set_lease_id(lease);
  message.mutable_report()->set_seq(seq);
  message.mutable_report()->set_associations(2);
  auto* outcome = message.mutable_report()->add_outcomes();
  outcome->set_index(1);
  outcome->set_kind(wire::Outcome::ASSOCIATION_LOST);
  outcome->set_may_be_stored(true);
  return message;
}

}  // namespace

std::vector<Message> WholeConversation() {
  const std::string session = kConversationSession;
  std::vector<std::uint32_t> stored(150, 0);
  return {
      Named("OpenSession", OpenSession(session, false)),
      Named("BeginScan", BeginScan(session, 1)),
      Named("PublishBatch", Publish("1.2.3", 0, kLargeStudy, "a")),
      Named("PublishBatch, a copy", Publish("1.2.3", 0, 2, "copies")),
      Named("PublishBatch, a defect", PublishDefect()),
      Named("PublishBatch, small", Publish("1.2.4", 0, kSmallStudy, "b")),
      Named("PublishBatch, smaller", Publish("1.2.5", 0, 1, "c")),
      Named("WorkerStatus", "w1", StatusOf("w1", 1, 1, {})),
      Named("ScanComplete, and a grant", ScanComplete(session, 1)),
      Named("WorkerStatus, which is granted", "w2", StatusOf("w2", 1, 1, {})),
      Named("WorkerStatus, which holds", "w1", StatusOf("w1", 2, 1, {1})),
      Named("PageRequest", "w1", PageOf(1, 128)),
      Named("Report", "w1", ReportOf(1, 1, {0, {0, 0xB000, 0xC000, 0xA700}})),
      Named("Report of a loss", "w2", LossUnder(2, 1)),
      Named("SuspendSession", Suspend()),
      Named("Report, many", "w1", ReportOf(1, 2, {4, stored})),
      Named("Report, the last", "w1", LastReportOf(1, 3, {154, {0}}, wire::GiveBack::DRAINING)),
      Named("Report, which suspends", "w2", LastReportOf(2, 2, {0, {0}})),
      Named("OpenSession, which resumes", OpenSession(session, true)),
      Named("DrainWorker", Drain("w2")),
      Named("CancelSession", Cancel()),
      Named("WorkerStatus, which cancels", "w1", StatusOf("w1", 3, 1, {})),
      Named("WorkerStatus, which cancels, too", "w2", StatusOf("w2", 2, 1, {})),
      Named("RequeueInstances", Requeue()),
      Named("BeginScan, again", BeginScan(session, 2)),
      Named("ScanComplete, again", ScanComplete(session, 2)),
  };
}

// --- the service

ServiceOnFile::ServiceOnFile(const LedgerFile& file) {
  auto ledger = OpenSqliteLedger(file.path());
  if (!ledger) throw LedgerError(ledger.error());
  ledger_ = *std::move(ledger);
  service_ = std::make_unique<Service>(*ledger_, SchedulerOptions{}, metrics_, file.folder().string());
  service_->ResumeSessions(kNow, kWall);
}

std::vector<Outgoing> ServiceOnFile::Say(const Message& message) {
  return service_->Step({PeerMessage{message.peer, message.bytes}}, kNow, kWall).messages;
}

wire::SessionStatus ServiceOnFile::Status(const std::string& session) {
  wire::ClientRequest request;
  request.mutable_get_session()->set_session(session);
  return Say(Named("GetSession", request)).at(0).message.client().session();
}

// --- single messages

Message Named(const std::string& name, wire::ClientRequest request) {
  return {name, "client", Envelope(std::move(request)).SerializeAsString()};
}
Message Named(const std::string& name, const std::string& worker, wire::WorkerMessage message) {
  return {name, worker, Envelope(std::move(message)).SerializeAsString()};
}

wire::ClientRequest OpenSession(const std::string& session, bool resume) {
  wire::ClientRequest request;
  auto* open = request.mutable_open_session();
  open->set_session(session);
  open->mutable_destination()->set_called_ae("PACS");
  open->mutable_destination()->set_host("127.0.0.1");
  open->mutable_destination()->set_port(104);
  open->set_attempts_max(2);
  open->set_retry_for_ms(60'000);
  open->set_resume(resume);
  return request;
}

wire::ClientRequest PublishFiles(const std::string& session, const std::string& study, const Files& files) {
  wire::ClientRequest request;
  auto* batch = request.mutable_publish_batch();
  batch->set_session(session);
  auto* root = batch->add_roots();
  root->set_id(1);
  root->set_path("/data");
  auto* items = batch->add_studies();
  items->set_study_instance_uid(study);
  for (std::uint32_t i = files.first; i < files.first + files.count; ++i) {
    auto* instance = items->add_instances();
    instance->set_root(1);
    instance->set_path(fmt::format("{}/{}", files.folder, i));
    instance->set_sop_class_uid("1.2.840.10008.5.1.4.1.1.2");
    instance->set_sop_instance_uid(fmt::format("{}.{}", study, i));
    instance->set_transfer_syntax_uid("1.2.840.10008.1.2.1");
    instance->set_dataset_offset(300);
    instance->set_size_bytes(1000);
  }
  return request;
}

wire::ClientRequest BeginScan(const std::string& session, std::uint64_t scan) {
  wire::ClientRequest request;
  request.mutable_begin_scan()->set_session(session);
  request.mutable_begin_scan()->set_scan(scan);
  return request;
}

wire::ClientRequest ScanComplete(const std::string& session, std::uint64_t scan) {
  wire::ClientRequest request;
  request.mutable_scan_complete()->set_session(session);
  request.mutable_scan_complete()->set_scan(scan);
  auto* ignored = request.mutable_scan_complete()->add_ignored();
  ignored->set_reason("not_dicom");
  ignored->set_files(scan);
  return request;
}

wire::WorkerMessage StatusOf(const std::string& worker, std::uint64_t seq, std::uint32_t capacity,
                             const std::vector<LeaseId>& held) {
  wire::WorkerMessage message;
  auto* status = message.mutable_status();
  status->set_worker_id(worker);
  status->set_incarnation(1);
  status->set_seq(seq);
  status->set_capacity(capacity);
  for (const LeaseId lease : held) status->add_held()->set_lease_id(lease);
  return message;
}

wire::WorkerMessage ReportOf(LeaseId lease, std::uint64_t seq, const Responses& responses) {
  wire::WorkerMessage message;
  auto* report = message.mutable_report();
  report->set_lease_id(lease);
  report->set_seq(seq);
  report->set_associations(1);
  std::uint32_t index = responses.first;
  for (const std::uint32_t status : responses.statuses) {
    auto* outcome = report->add_outcomes();
    outcome->set_index(index++);
    outcome->set_status(status);
    outcome->set_duration_us(500);
  }
  return message;
}

wire::WorkerMessage LastReportOf(LeaseId lease, std::uint64_t seq, const Responses& responses,
                                 wire::GiveBack::Reason reason) {
  wire::WorkerMessage message = ReportOf(lease, seq, responses);
  message.mutable_report()->mutable_give_back()->set_reason(reason);
  return message;
}

}  // namespace dicom_sender
