#include "coordinator/service/service.h"

#include <fmt/format.h>

#include "coordinator/service/replies.h"
#include "proto/session_state.h"
#include "proto/validate.h"

namespace dicom_sender {

Service::Service(Ledger& ledger, SchedulerOptions options, CoordinatorMetrics& metrics, std::string output_dir,
                 Progress progress, NameEndpoint name_endpoint)
    : ledger_(ledger),
      scheduler_(options, ledger.LastLeaseId()),
      queries_(ledger_, scheduler_, paces_, std::move(output_dir)),
      metrics_(metrics),
      name_endpoint_(std::move(name_endpoint)),
      progress_(std::move(progress)),
      meter_(metrics) {}

StepResult Service::ResumeSessions(TimePoint now, WallTime wall) {
  const Moment moment{now, wall};
  ledger_.Begin();
  for (const SessionKey key : ledger_.Sessions()) {
    progress_.Note();
    const SessionRecord record = ledger_.LoadSession(key);
    if (!HasEnded(record.state) && !IsOpen(key)) {
      ledger_.BeginRun(key, wall);
      OpenInScheduler(record, moment);
    }
    if (record.state == wire::SESSION_SUSPENDED) suspended_.insert(key);
  }
  ledger_.Commit();
  return Step({}, now, wall);
}

StepResult Service::Step(const std::vector<PeerMessage>& messages, TimePoint now, WallTime wall) {
  const Moment moment{now, wall};
  outgoing_.clear();
  ended_.clear();
  ledger_.Begin();
  for (const PeerMessage& incoming : messages) HandleMessage(incoming, moment);
  const auto wake_at = Apply(Tick{}, moment).wake_at;
  const TimePoint commit_start = MonotonicNow();
  ledger_.Commit();
  metrics_.ledger_commit_duration_seconds.Observe(
      std::chrono::duration<double>(MonotonicNow() - commit_start).count());
  meter_.Stats(scheduler_.Stats());
  ForgetSilentWorkers();
  return {std::move(outgoing_), wake_at, std::move(ended_)};
}

void Service::HandleMessage(const PeerMessage& incoming, const Moment& moment) {
  const auto envelope = ParseToCoordinator(incoming.bytes);
  if (!envelope) return Refuse(incoming, envelope.error().reason, envelope.error().other_version, moment);
  if (envelope->has_worker()) return Handle(incoming, envelope->worker(), moment);
  wire::ClientReply reply = Answer(envelope->client(), moment);
  reply.set_request_id(envelope->client().request_id());
  outgoing_.push_back({incoming.peer, Envelope(std::move(reply))});
}

wire::ClientReply Service::Answer(const wire::ClientRequest& request, const Moment& moment) {
  switch (request.request_case()) {
    case wire::ClientRequest::kOpenSession:
      return Answer(request.open_session(), moment);
    case wire::ClientRequest::kBeginScan:
      return Answer(request.begin_scan(), moment);
    case wire::ClientRequest::kPublishBatch:
      return Answer(request.publish_batch(), moment);
    case wire::ClientRequest::kListCopies:
      return About(request.list_copies().session(),
                   [&](const auto& record) { return queries_.Copies(record, request.list_copies()); });
    case wire::ClientRequest::kRecordComparisons:
      return Answer(request.record_comparisons());
    case wire::ClientRequest::kScanComplete:
      return Answer(request.scan_complete(), moment);
    case wire::ClientRequest::kSuspendSession:
      return Answer(request.suspend_session(), moment);
    case wire::ClientRequest::kCancelSession:
      return Answer(request.cancel_session(), moment);
    case wire::ClientRequest::kRequeueInstances:
      return Answer(request.requeue_instances(), moment);
    case wire::ClientRequest::kDrainWorker:
      return Answer(request.drain_worker(), moment);
    case wire::ClientRequest::kGetSession:
      return About(request.get_session().session(),
                   [&](const auto& record) { return queries_.Status(record, moment.now); });
    case wire::ClientRequest::kGetReport:
      return About(request.get_report().session(),
                   [&](const auto& record) { return queries_.Report(record, moment.now, moment.wall); });
    case wire::ClientRequest::kListStudies:
      return About(request.list_studies().session(),
                   [&](const auto& record) { return queries_.Studies(record, request.list_studies()); });
    case wire::ClientRequest::kListFailures:
      return About(request.list_failures().session(),
                   [&](const auto& record) { return queries_.Failures(record, request.list_failures()); });
    case wire::ClientRequest::kReadSummary:
      return About(request.read_summary().session(),
                   [&](const auto& record) { return queries_.Summary(record, request.read_summary().offset()); });
    case wire::ClientRequest::kListSessions:
      return queries_.Sessions(request.list_sessions(), moment.now);
    case wire::ClientRequest::kListWorkers:
      return queries_.Workers(moment.now);
    case wire::ClientRequest::kListDestinations:
      return queries_.Destinations(moment.now);
    case wire::ClientRequest::REQUEST_NOT_SET:
      break;  // refused by ParseToCoordinator
  }
  return Failed("the request is empty");
}

void Service::Handle(const PeerMessage& incoming, const wire::WorkerMessage& message, const Moment& moment) {
  switch (message.message_case()) {
    case wire::WorkerMessage::kStatus:
      return Handle(incoming, message.status(), moment);
    case wire::WorkerMessage::kPageRequest:
      return Handle(incoming, message.page_request(), moment);
    case wire::WorkerMessage::kReport:
      return Handle(incoming, message.report(), moment);
    case wire::WorkerMessage::MESSAGE_NOT_SET:
      break;  // refused by ParseToCoordinator
  }
}

void Service::Refuse(const PeerMessage& incoming, const std::string& reason, bool for_good, const Moment& moment,
                     LeaseId lease) {
  metrics_.messages_refused_total.Increment();
  const std::string from = incoming.address.empty() ? "this process" : incoming.address;
  refusals_.Add(incoming.peer, fmt::format("A message from {} was refused: {}", from, reason), moment.now);
  wire::Refusal refusal;
  refusal.set_reason(LimitedReason(reason));
  refusal.set_for_good(for_good);
  refusal.set_lease_id(lease);
  outgoing_.push_back({incoming.peer, Envelope(std::move(refusal))});
}

void Service::Send(const std::string& peer, wire::CoordinatorMessage message) {
  outgoing_.push_back({peer, Envelope(std::move(message))});
}

wire::ClientReply Service::StatusAfterChange(SessionKey session, const Moment& moment) const {
  return queries_.Status(ledger_.LoadSession(session), moment.now);
}

Service::Settings Service::SettingsOf(SessionKey session) const {
  const auto open = sessions_.find(session);
  if (open != sessions_.end()) return open->second;
  return std::make_shared<const wire::OpenSession>(ledger_.LoadSession(session).settings);
}

std::vector<SessionRecord> Service::OpenSessions() const {
  std::vector<SessionRecord> open;
  for (const auto& [key, settings] : sessions_) open.push_back(ledger_.LoadSession(key));
  return open;
}

void Service::MeasurePaces(TimePoint now) { paces_.Measure(OpenSessions(), now); }

wire::Overview Service::Look(TimePoint now, WallTime wall) {
  const std::vector<SessionRecord> open = OpenSessions();
  paces_.Measure(open, now);
  wire::Overview overview = queries_.Overview(open, suspended_, now, wall);
  *overview.mutable_failures() = meter_.LatestFailures(ledger_, wall);
  meter_.Loads(open, overview.destinations());
  return overview;
}

}  // namespace dicom_sender
