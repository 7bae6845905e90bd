#include "coordinator/service/service.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>

#include "proto/channel.h"
#include "proto/validate.h"

namespace dicom_sender {
namespace {

// Small, because what was handed out under a lost lease may have been sent: a resend is counted for each.
constexpr std::size_t kPageInstances = 128;
static_assert(kPageInstances <= kPageInstancesMax);
constexpr std::size_t kStudiesPerRead = 10'000;
constexpr std::uint32_t kListedStudiesMax = 1000;

wire::ClientReply Failed(std::string reason) {
  wire::ClientReply reply;
  reply.mutable_failure()->set_reason(std::move(reason));
  return reply;
}

wire::ClientReply UnknownSession(const std::string& uuid) {
  return Failed(fmt::format("there is no session {} in this ledger", uuid));
}

const char* OutcomeName(InstanceState state) {
  switch (state) {
    case InstanceState::kDelayed:
      return "delayed";
    case InstanceState::kStored:
      return "stored";
    case InstanceState::kStoredWithWarning:
      return "stored_with_warning";
    case InstanceState::kSkipped:
      return "skipped";
    default:
      return "failed";
  }
}

std::string DestinationKey(const wire::Destination& destination) {
  return fmt::format("{}:{}@{}", destination.called_ae(), destination.port(), destination.host());
}

}  // namespace

Service::Service(Ledger& ledger, SchedulerOptions options, CoordinatorMetrics& metrics)
    : ledger_(ledger), scheduler_(options, ledger.LastLeaseId()), metrics_(metrics) {}

StepResult Service::ResumeSessions(TimePoint now, WallTime wall) {
  const Moment moment{now, wall};
  ledger_.Begin();
  for (const SessionKey key : ledger_.Sessions()) {
    const SessionRecord record = ledger_.LoadSession(key);
    const bool ended = record.state != wire::SESSION_SCANNING && record.state != wire::SESSION_SENDING;
    if (!ended && !IsOpen(key)) OpenInScheduler(record, moment);
  }
  ledger_.Commit();
  return Step({}, now, wall);
}

StepResult Service::Step(const std::vector<Incoming>& messages, TimePoint now, WallTime wall) {
  const Moment moment{now, wall};
  outgoing_.clear();
  ledger_.Begin();
  for (const Incoming& incoming : messages) {
    incoming.side == Side::kClient ? HandleClient(incoming, moment) : HandleWorker(incoming, moment);
  }
  const auto wake_at = Apply(Tick{}, moment);
  const TimePoint commit_start = MonotonicNow();
  ledger_.Commit();
  metrics_.ledger_commit_duration_seconds.Observe(
      std::chrono::duration<double>(MonotonicNow() - commit_start).count());
  UpdateMetrics();
  return {std::move(outgoing_), wake_at};
}

// --- clients

void Service::HandleClient(const Incoming& incoming, const Moment& moment) {
  auto request = ParseClientRequest(incoming.bytes);
  wire::ClientReply reply = request ? Answer(*request, moment) : Failed("request refused: " + request.error());
  if (request) reply.set_request_id(request->request_id());
  outgoing_.push_back({incoming.peer, std::move(reply)});
}

wire::ClientReply Service::Answer(const wire::ClientRequest& request, const Moment& moment) {
  switch (request.request_case()) {
    case wire::ClientRequest::kOpenSession:
      return Answer(request.open_session(), moment);
    case wire::ClientRequest::kPublishBatch:
      return Answer(request.publish_batch(), moment);
    case wire::ClientRequest::kScanComplete:
      return Answer(request.scan_complete(), moment);
    case wire::ClientRequest::kGetSession:
      return Answer(request.get_session(), moment);
    case wire::ClientRequest::kListStudies:
      return Answer(request.list_studies(), moment);
    case wire::ClientRequest::kSuspendSession:
      return Answer(request.suspend_session(), moment);
    case wire::ClientRequest::REQUEST_NOT_SET:
      break;
  }
  return Failed("request refused: empty");
}

wire::ClientReply Service::Answer(const wire::OpenSession& request, const Moment& moment) {
  auto record = ledger_.FindSession(request.session());
  if (!record) {
    if (request.resume()) return UnknownSession(request.session());
    record = ledger_.CreateSession(request, moment.wall);
    OpenInScheduler(*record, moment);
  } else if (request.resume() && !IsOpen(record->key)) {
    Resume(*record, request, moment);
  }
  return Status(record->key, moment.now);
}

void Service::Resume(SessionRecord record, const wire::OpenSession& request, const Moment& moment) {
  wire::OpenSession& settings = record.settings;
  if (request.has_send_options()) *settings.mutable_send_options() = request.send_options();
  if (request.attempts_max() > 0) settings.set_attempts_max(request.attempts_max());
  if (request.has_retry_for_ms()) settings.set_retry_for_ms(request.retry_for_ms());
  ledger_.SetSettings(record.key, settings);
  ledger_.Requeue(record.key, request.retry_failed());
  const auto state = record.scan_complete ? wire::SESSION_SENDING : wire::SESSION_SCANNING;
  ledger_.SetSessionState(record.key, state, {}, moment.wall);
  OpenInScheduler(record, moment);
}

void Service::OpenInScheduler(const SessionRecord& record, const Moment& moment) {
  const wire::OpenSession& settings = record.settings;
  sessions_[record.key] = settings;
  // Incomplete until everything that the ledger has is fed: a session without studies would be complete at once.
  Apply(SessionOpened{.session = record.key,
                      .destination = DestinationKey(settings.destination()),
                      .dispatch_as_found = settings.dispatch() == wire::DISPATCH_AS_FOUND,
                      .scan_complete = false,
                      .attempts_max = settings.attempts_max(),
                      .retry_for = std::chrono::milliseconds(settings.retry_for_ms())},
        moment);
  RestoreLeases(record.key, moment);
  FeedFromLedger(record.key, moment);
  if (record.scan_complete) Apply(ScanCompleted{record.key}, moment);
}

// Those that an earlier coordinator has granted: their workers may be sending all the time.
void Service::RestoreLeases(SessionKey session, const Moment& moment) {
  for (const StudyRecord& study : ledger_.LeasedStudies()) {
    if (study.session != session) continue;
    Apply(LeaseRestored{.session = session, .study = study.key, .lease = study.lease, .worker = study.lease_worker},
          moment);
  }
}

void Service::FeedFromLedger(SessionKey session, const Moment& moment) {
  StudyKey after = 0;
  for (;;) {
    const auto studies = ledger_.Studies(session, after, kStudiesPerRead, /*unsettled_only=*/true);
    if (studies.empty()) return;
    for (const StudyRecord& study : studies) {
      Apply(StudyFed{.session = session,
                     .study = study.key,
                     .pending = static_cast<std::uint32_t>(study.counts.unsettled()),
                     .pending_bytes = study.unsettled_bytes},
            moment);
    }
    after = studies.back().key;
  }
}

wire::ClientReply Service::Answer(const wire::PublishBatch& request, const Moment& moment) {
  const auto record = ledger_.FindSession(request.session());
  if (!record) return UnknownSession(request.session());
  if (!IsOpen(record->key)) return Failed(fmt::format("session {} has ended", request.session()));
  for (const StudyFeed& feed : ledger_.AddStudies(record->key, request)) {
    Apply(StudyFed{.session = record->key,
                   .study = feed.study,
                   .pending = feed.pending,
                   .pending_bytes = feed.pending_bytes},
          moment);
  }
  wire::ClientReply reply;
  reply.mutable_publish_ack();
  return reply;
}

wire::ClientReply Service::Answer(const wire::ScanComplete& request, const Moment& moment) {
  const auto record = ledger_.FindSession(request.session());
  if (!record) return UnknownSession(request.session());
  if (!record->scan_complete) {
    std::map<std::string, std::uint64_t> ignored;
    for (const auto& files : request.ignored()) ignored[files.reason()] += files.files();
    ledger_.SetScanComplete(record->key, ignored);
    Apply(ScanCompleted{record->key}, moment);
  }
  return Status(record->key, moment.now);
}

wire::ClientReply Service::Answer(const wire::GetSession& request, const Moment& moment) {
  const auto record = ledger_.FindSession(request.session());
  return record ? Status(record->key, moment.now) : UnknownSession(request.session());
}

wire::ClientReply Service::Answer(const wire::ListStudies& request, const Moment&) {
  const auto record = ledger_.FindSession(request.session());
  if (!record) return UnknownSession(request.session());
  wire::ClientReply reply;
  auto* list = reply.mutable_studies();
  const std::size_t limit = std::min(request.limit(), kListedStudiesMax);
  for (const StudyRecord& study : ledger_.Studies(record->key, 0, limit, /*unsettled_only=*/false)) {
    auto* entry = list->add_studies();
    entry->set_study_instance_uid(study.uid);
    entry->set_instances(study.counts.total);
  }
  return reply;
}

wire::ClientReply Service::Answer(const wire::SuspendSession& request, const Moment& moment) {
  const auto record = ledger_.FindSession(request.session());
  if (!record) return UnknownSession(request.session());
  Apply(SuspendRequested{record->key}, moment);
  return Status(record->key, moment.now);
}

wire::ClientReply Service::Status(SessionKey key, TimePoint now) {
  const SessionRecord record = ledger_.LoadSession(key);
  wire::ClientReply reply;
  auto* status = reply.mutable_session();
  status->set_session(record.settings.session());
  status->set_state(record.state);
  status->set_end_reason(record.end_reason);
  *status->mutable_destination() = record.settings.destination();
  *status->mutable_inputs() = record.settings.inputs();
  status->set_recursive(record.settings.recursive());
  status->set_scan_complete(record.scan_complete);
  status->set_studies(record.studies);
  status->set_total(record.counts.total);
  status->set_total_bytes(record.counts.total_bytes);
  status->set_stored(record.counts.stored + record.counts.warned);
  status->set_stored_bytes(record.counts.stored_bytes);
  status->set_warnings(record.counts.warned);
  status->set_failed(record.counts.failed);
  status->set_skipped(record.counts.skipped);
  status->set_settled_bytes(record.counts.settled_bytes);
  status->set_leases(scheduler_.LiveLeases(key));
  status->set_trouble(scheduler_.Trouble(key, now));
  for (const auto& [reason, files] : record.ignored) {
    auto* ignored = status->add_ignored();
    ignored->set_reason(reason);
    ignored->set_files(files);
  }
  return reply;
}

// --- workers

void Service::HandleWorker(const Incoming& incoming, const Moment& moment) {
  const auto message = ParseWorkerMessage(incoming.bytes);
  if (!message) {
    spdlog::warn("A worker's message was refused: {}", message.error());
    return;
  }
  switch (message->message_case()) {
    case wire::WorkerMessage::kStatus:
      return Handle(incoming.peer, message->status(), moment);
    case wire::WorkerMessage::kPageRequest:
      return Handle(incoming.peer, message->page_request());
    case wire::WorkerMessage::kReport:
      return Handle(incoming.peer, message->report(), moment);
    case wire::WorkerMessage::MESSAGE_NOT_SET:
      break;
  }
}

void Service::Handle(const std::string& peer, const wire::WorkerStatus& status, const Moment& moment) {
  worker_peers_[status.worker_id()] = peer;
  WorkerSeen seen{.worker = status.worker_id(),
                  .incarnation = status.incarnation(),
                  .seq = status.seq(),
                  .capacity = status.capacity(),
                  .draining = status.draining(),
                  .held = {}};
  for (const auto& held : status.held()) seen.held.push_back({held.lease_id(), held.progressed()});
  status_seq_ = status.seq();
  Apply(seen, moment);
  status_seq_ = 0;
}

void Service::Handle(const std::string& peer, const wire::PageRequest& request) {
  const auto study = scheduler_.StudyOf(request.lease_id());
  wire::CoordinatorMessage message;
  if (study) {
    *message.mutable_page() = PageOf(request.lease_id(), *study, request.from_index());
  } else {
    message.mutable_page()->set_lease_id(request.lease_id());
    message.mutable_page()->set_from_index(request.from_index());
  }
  outgoing_.push_back({peer, std::move(message)});
}

wire::Page Service::PageOf(LeaseId lease, StudyKey study, std::uint32_t from_index) {
  wire::Page page = ledger_.LoadPage(study, lease, from_index, kPageInstances);
  if (page.instances_size() > 0) ledger_.SetPageEnd(study, page.instances().rbegin()->index() + 1);
  return page;
}

void Service::Handle(const std::string& peer, const wire::Report& report, const Moment& moment) {
  // A lease that was never granted is not acknowledged: it is of another ledger, and what it reports is not ours.
  const auto lease = ledger_.FindLease(report.lease_id());
  if (!lease) {
    spdlog::warn("A report for lease {}, which is not in this ledger, was ignored", report.lease_id());
    return;
  }
  // The one before was lost on its way. Both will come again; applied out of order, the earlier one would be taken
  // for a repetition.
  if (report.seq() > lease->last_report_seq + 1) return;
  if (report.seq() == lease->last_report_seq + 1) ApplyReport(report, *lease, moment);

  wire::CoordinatorMessage message;
  message.mutable_report_ack()->set_lease_id(report.lease_id());
  message.mutable_report_ack()->set_seq(report.seq());
  outgoing_.push_back({peer, std::move(message)});
}

void Service::ApplyReport(const wire::Report& report, const LeaseRecord& lease, const Moment& moment) {
  Reported event{
      .lease = lease.id, .study = lease.study, .suspect_end = lease.suspect_end, .outcomes = {}, .give_back = {}};
  std::map<std::uint32_t, const wire::Outcome*> by_index;
  for (const auto& outcome : report.outcomes()) by_index.emplace(outcome.index(), &outcome);
  std::vector<std::uint32_t> indices;
  indices.reserve(by_index.size());
  for (const auto& [index, outcome] : by_index) indices.push_back(index);
  for (const InstanceFacts& facts : ledger_.LoadInstances(lease.study, indices)) {
    event.outcomes.push_back({*by_index.at(facts.index), facts});
  }
  if (report.has_give_back()) event.give_back = report.give_back();
  ledger_.RecordReport(lease, report.seq(), report.associations());
  Apply(event, moment);
}

// --- the scheduler's output

std::optional<TimePoint> Service::Apply(const Event& event, const Moment& moment) {
  const Output output = scheduler_.Step(event, moment.now);
  Write(output.changes, moment);
  for (const Reply& reply : output.replies) std::visit([this](const auto& r) { Tell(r); }, reply);
  for (Duration wait : output.queue_waits) {
    metrics_.queue_wait_seconds.Observe(std::chrono::duration<double>(wait).count());
  }
  return output.wake_at;
}

void Service::Write(const std::vector<LedgerChange>& changes, const Moment& moment) {
  // Outcomes are written together, as they come: nearly always they are all there is.
  std::vector<InstanceChange> instances;
  for (const LedgerChange& change : changes) {
    if (const auto* instance = std::get_if<InstanceChange>(&change)) instances.push_back(*instance);
  }
  if (!instances.empty()) ledger_.ChangeInstances(instances, moment.wall);
  Count(instances, moment.wall);
  for (const LedgerChange& change : changes) {
    if (const auto* granted = std::get_if<LeaseGranted>(&change)) {
      ledger_.GrantLease(granted->study, granted->lease, granted->worker, moment.wall);
    } else if (const auto* ended = std::get_if<LeaseEnded>(&change)) {
      ledger_.EndLease(ended->study, ended->clean);
    } else if (const auto* session = std::get_if<SessionChanged>(&change)) {
      Write(*session, moment);
    }
  }
}

void Service::Write(const SessionChanged& change, const Moment& moment) {
  if (change.state == wire::SESSION_UNREACHABLE || change.state == wire::SESSION_REFUSED) {
    ledger_.AbandonUnsettled(change.session, change.reason);
  }
  ledger_.SetSessionState(change.session, change.state, change.reason, moment.wall);
  if (change.state != wire::SESSION_SENDING) sessions_.erase(change.session);
}

void Service::Count(const std::vector<InstanceChange>& changes, WallTime wall) {
  for (const InstanceChange& change : changes) {
    metrics_.instances_total[OutcomeName(change.state)].Increment();
    if (change.resend) metrics_.resends_total.Increment();
    if (change.state == InstanceState::kStored || change.state == InstanceState::kStoredWithWarning) {
      metrics_.last_success_timestamp_seconds.Set(std::chrono::duration<double>(wall.time_since_epoch()).count());
    }
  }
}

void Service::Tell(const GrantReply& reply) {
  const auto peer = worker_peers_.find(reply.worker);
  const auto session = sessions_.find(reply.session);
  if (peer == worker_peers_.end() || session == sessions_.end()) return;
  wire::CoordinatorMessage message;
  auto* grant = message.mutable_grant();
  grant->set_lease_id(reply.lease);
  grant->set_ttl_ms(TtlMs());
  grant->set_study_instance_uid(ledger_.LoadStudy(reply.study).uid);
  *grant->mutable_destination() = session->second.destination();
  *grant->mutable_send_options() = session->second.send_options();
  for (auto& pair : ledger_.ContextPairs(reply.study, kContextPairsMax)) *grant->add_pairs() = std::move(pair);
  *grant->mutable_first_page() = PageOf(reply.lease, reply.study, 0);
  outgoing_.push_back({peer->second, std::move(message)});
}

void Service::Tell(const StatusReply& reply) {
  const auto peer = worker_peers_.find(reply.worker);
  if (peer == worker_peers_.end()) return;
  wire::CoordinatorMessage message;
  auto* ack = message.mutable_status_ack();
  ack->set_seq(status_seq_);
  ack->set_ttl_ms(TtlMs());
  ack->mutable_renewed()->Assign(reply.renewed.begin(), reply.renewed.end());
  ack->mutable_revoked()->Assign(reply.revoked.begin(), reply.revoked.end());
  outgoing_.push_back({peer->second, std::move(message)});
}

std::uint32_t Service::TtlMs() const {
  return static_cast<std::uint32_t>(std::chrono::ceil<std::chrono::milliseconds>(scheduler_.lease_ttl()).count());
}

void Service::UpdateMetrics() {
  const SchedulerStats stats = scheduler_.Stats();
  metrics_.studies_pending.Set(static_cast<double>(stats.studies_pending));
  metrics_.studies_delayed.Set(static_cast<double>(stats.studies_delayed));
  metrics_.studies_leased.Set(static_cast<double>(stats.studies_leased));
  metrics_.studies_done.Set(static_cast<double>(stats.studies_done));
  metrics_.workers_connected.Set(static_cast<double>(stats.workers_connected));
  metrics_.breaker_open.Set(static_cast<double>(stats.breakers_open));
  metrics_.leases_expired_total.Increment(static_cast<double>(stats.leases_expired - counted_.leases_expired));
  metrics_.late_outcomes_total.Increment(static_cast<double>(stats.late_outcomes - counted_.late_outcomes));
  counted_ = stats;
}

}  // namespace dicom_sender
