#include "coordinator/service/service.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>

#include "common/log.h"
#include "common/text.h"
#include "proto/limits.h"
#include "proto/validate.h"
#include "proto/words.h"

namespace dicom_sender {
namespace {

// Small, because what was handed out under a lost lease may have been sent: a resend is counted for each.
constexpr std::size_t kPageInstances = 128;
static_assert(kPageInstances <= kPageInstancesMax);
constexpr std::size_t kStudiesPerRead = 10'000;
constexpr std::size_t kWorkersMax = kListedWorkersMax;
constexpr const char* kCancelled = "cancelled by an operator";

bool IsOngoing(wire::SessionState state) { return state == wire::SESSION_SCANNING || state == wire::SESSION_SENDING; }

wire::SessionState OngoingState(const SessionRecord& record) {
  return record.scan_complete ? wire::SESSION_SENDING : wire::SESSION_SCANNING;
}

std::optional<Duration> RetryForOf(const wire::OpenSession& settings) {
  if (!settings.has_retry_for_ms()) return std::nullopt;
  return std::chrono::milliseconds(settings.retry_for_ms());
}

wire::ClientReply TooManySessions() {
  return Failed(fmt::format("{} sessions are open, and no more are taken: wait until one has ended, or pause one",
                            kOpenSessionsMax));
}

// An incarnation is the wall clock in nanoseconds at the start of the worker.
std::string Superseded(const std::string& worker, std::uint64_t nanoseconds) {
  return fmt::format(
      "another worker that calls itself {} has started since, or this one's clock was set back by at "
      "least {:.1f} s: give each a name of its own by --worker-id, or set the clock right and start it "
      "again",
      worker, std::chrono::duration<double>(Duration(nanoseconds)).count());
}

wire::ClientReply TooManyBytes(const SessionRecord& record) {
  return Failed(fmt::format("session {} would have more bytes than there can be: a size in this batch is wrong",
                            record.settings.session()));
}

std::vector<UnreadPath> UnreadOf(const wire::PublishBatch& batch) {
  std::vector<UnreadPath> paths;
  for (const auto& unread : batch.unread()) paths.push_back({unread.path(), unread.folder(), unread.reason()});
  return paths;
}

// Why a session that is not open takes nothing.
wire::ClientReply HasEnded(const SessionRecord& record) {
  return Failed(fmt::format("session {} has ended{}{}", record.settings.session(),
                            record.end_reason.empty() ? "" : ": ", record.end_reason));
}

}  // namespace

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
    if (IsOngoing(record.state) && !IsOpen(key)) {
      ledger_.BeginRun(key, wall);
      OpenInScheduler(record, moment);
    }
    if (record.state == wire::SESSION_SUSPENDED) suspended_.insert(key);
  }
  ledger_.Commit();
  return Step({}, now, wall);
}

StepResult Service::Step(const std::vector<Incoming>& messages, TimePoint now, WallTime wall) {
  const Moment moment{now, wall};
  outgoing_.clear();
  ended_.clear();
  ledger_.Begin();
  for (const Incoming& incoming : messages) HandleMessage(incoming, moment);
  const auto wake_at = Apply(Tick{}, moment).wake_at;
  const TimePoint commit_start = MonotonicNow();
  ledger_.Commit();
  metrics_.ledger_commit_duration_seconds.Observe(
      std::chrono::duration<double>(MonotonicNow() - commit_start).count());
  meter_.Stats(scheduler_.Stats());
  ForgetSilentWorkers();
  return {std::move(outgoing_), wake_at, std::move(ended_)};
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

void Service::HandleMessage(const Incoming& incoming, const Moment& moment) {
  const auto envelope = ParseToCoordinator(incoming.bytes);
  if (!envelope) return Refuse(incoming, envelope.error().reason, envelope.error().other_version, moment);
  if (envelope->has_worker()) return Handle(incoming, envelope->worker(), moment);
  wire::ClientReply reply = Answer(envelope->client(), moment);
  reply.set_request_id(envelope->client().request_id());
  outgoing_.push_back({incoming.peer, Envelope(std::move(reply))});
}

void Service::Refuse(const Incoming& incoming, const std::string& reason, bool for_good, const Moment& moment,
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

// --- clients

template <class Ask>
wire::ClientReply Service::About(const std::string& uuid, Ask ask) {
  const auto record = ledger_.FindSession(uuid);
  if (!record) return Failed(fmt::format("there is no session {} in this ledger", uuid));
  return ask(*record);
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
                   [&](const auto& record) { return queries_.Copies(record.key, request.list_copies()); });
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
                   [&](const auto& record) { return queries_.Status(record.key, moment.now); });
    case wire::ClientRequest::kGetReport:
      return About(request.get_report().session(),
                   [&](const auto& record) { return queries_.Report(record.key, moment.now, moment.wall); });
    case wire::ClientRequest::kListStudies:
      return About(request.list_studies().session(),
                   [&](const auto& record) { return queries_.Studies(record.key, request.list_studies()); });
    case wire::ClientRequest::kListFailures:
      return About(request.list_failures().session(),
                   [&](const auto& record) { return queries_.Failures(record.key, request.list_failures()); });
    case wire::ClientRequest::kReadSummary:
      return About(request.read_summary().session(),
                   [&](const auto& record) { return queries_.Summary(record.key, request.read_summary().offset()); });
    case wire::ClientRequest::kListSessions:
      return queries_.Sessions(request.list_sessions(), moment.now);
    case wire::ClientRequest::kListWorkers:
      return queries_.Workers(moment.now);
    case wire::ClientRequest::kListDestinations:
      return queries_.Destinations(moment.now);
    case wire::ClientRequest::REQUEST_NOT_SET:
      break;  // refused by ParseToCoordinator
  }
  return Failed("an empty request");
}

wire::ClientReply Service::Answer(const wire::OpenSession& request, const Moment& moment) {
  auto record = ledger_.FindSession(request.session());
  const bool opens = record ? request.resume() && !IsOpen(record->key) : true;
  if (record && request.resume() && record->ending == wire::SESSION_SUSPENDED) Continue(*record, moment);
  if (!record && request.resume())
    return Failed(fmt::format("there is no session {} in this ledger", request.session()));
  if (opens && sessions_.size() >= kOpenSessionsMax) return TooManySessions();
  if (!record) {
    record = ledger_.CreateSession(request, moment.wall);
    const ScopedLogFields fields({.session = request.session()});
    spdlog::info("Session {} begins: {} to {} as {}", request.session(), fmt::join(request.inputs(), ", "),
                 DestinationText(request.destination()), request.destination().calling_ae());
    OpenInScheduler(*record, moment);
  } else if (opens) {
    Resume(*record, request, moment);
  }
  return queries_.Status(record->key, moment.now);
}

void Service::Resume(SessionRecord record, const wire::OpenSession& request, const Moment& moment) {
  wire::OpenSession& settings = record.settings;
  if (request.has_send_options()) *settings.mutable_send_options() = request.send_options();
  if (request.attempts_max() > 0) settings.set_attempts_max(request.attempts_max());
  if (request.has_dispatch()) settings.set_dispatch(request.dispatch());
  if (request.has_program()) *settings.mutable_program() = request.program();
  if (request.has_retry_for_ms()) settings.set_retry_for_ms(request.retry_for_ms());
  ledger_.SetSettings(record.key, settings);
  if (request.retry_failed()) ledger_.Requeue(record.key, {});
  Reopen(record, moment);
}

// A suspension that waits for leases in force is taken back.
void Service::Continue(const SessionRecord& record, const Moment& moment) {
  if (!IsOpen(record.key)) return;
  const ScopedLogFields fields({.session = record.settings.session()});
  spdlog::info("Session {} goes on", record.settings.session());
  ledger_.SetEnding(record.key, std::nullopt);
  Apply(ContinueRequested{record.key}, moment);
}

void Service::Reopen(const SessionRecord& record, const Moment& moment) {
  const ScopedLogFields fields({.session = record.settings.session()});
  spdlog::info("Session {} goes on", record.settings.session());
  ledger_.SetSessionState(record.key, OngoingState(record), {}, moment.wall);
  OpenInScheduler(record, moment);
}

void Service::OpenInScheduler(const SessionRecord& record, const Moment& moment) {
  const wire::OpenSession& settings = record.settings;
  sessions_[record.key] = settings;
  suspended_.erase(record.key);
  meter_.SessionOpened(settings);
  // Incomplete until everything that the ledger has is fed: a session without studies would be complete at once.
  Apply(SessionOpened{.session = record.key,
                      .destination = DestinationText(settings.destination()),
                      .endpoint = name_endpoint_
                                      ? name_endpoint_(settings.destination().host(), settings.destination().port())
                                      : std::string(),
                      .calling_ae = settings.destination().calling_ae(),
                      .dispatch_as_found = settings.dispatch() == wire::DISPATCH_AS_FOUND,
                      .scan_complete = false,
                      .attempts_max = settings.attempts_max(),
                      .retry_for = RetryForOf(settings),
                      .stored_before = record.counts.successful() > 0},
        moment);
  RestoreLeases(record.key, moment);
  FeedFromLedger(record.key, moment);
  if (record.scan_complete) Apply(ScanCompleted{record.key}, moment);
  if (record.ending) End(record.key, *record.ending, moment);  // asked for before the coordinator was started again
}

void Service::End(SessionKey session, wire::SessionState state, const Moment& moment) {
  if (!IsOpen(session)) return;
  ledger_.SetEnding(session, state);
  if (state == wire::SESSION_CANCELLED) {
    Apply(CancelRequested{session, kCancelled}, moment);
  } else {
    Apply(SuspendRequested{session}, moment);
  }
}

// Those that an earlier coordinator has granted: their workers may be sending all the time.
void Service::RestoreLeases(SessionKey session, const Moment& moment) {
  for (const StudyRecord& study : ledger_.LeasedStudies(session)) {
    // Nobody else may take the worker's name before it is heard of again.
    const auto lease = ledger_.FindLease(study.lease);
    if (lease && !lease->identity.empty())
      connections_.try_emplace(study.lease_worker).first->second.key = lease->identity;
    Apply(LeaseRestored{.session = session, .study = study.key, .lease = study.lease, .worker = study.lease_worker},
          moment);
  }
}

void Service::FeedFromLedger(SessionKey session, const Moment& moment) {
  StudyKey after = 0;
  for (;;) {
    auto studies = ledger_.UnsettledStudies(session, after, kStudiesPerRead);
    progress_.Note();
    if (studies.empty()) return;
    after = studies.back().study;
    Apply(StudiesFed{session, std::move(studies)}, moment);
  }
}

wire::ClientReply Service::Answer(const wire::BeginScan& request, const Moment& moment) {
  return About(request.session(), [&](SessionRecord record) {
    if (EndsBadly(record.state)) return HasEnded(record);
    std::uint64_t scan = request.scan();
    const bool reopens = record.state == wire::SESSION_COMPLETE;
    if (reopens && sessions_.size() >= kOpenSessionsMax) return TooManySessions();
    if (ledger_.BeginScan(record.key, request.indexer(), scan)) {
      record.scan_complete = false;
      if (reopens) Reopen(record, moment);
      Apply(ScanBegun{record.key}, moment);
    }
    wire::ClientReply reply;
    reply.mutable_scan_begun()->set_scan(scan);
    return reply;
  });
}

wire::ClientReply Service::Answer(const wire::PublishBatch& request, const Moment& moment) {
  return About(request.session(), [&](const SessionRecord& record) {
    if (!IsOpen(record.key) && record.state != wire::SESSION_SUSPENDED) return HasEnded(record);
    if (BytesOf(request) + record.counts.total_bytes > kTotalBytesMax) return TooManyBytes(record);
    Apply(StudiesFed{record.key, ledger_.AddStudies(record.key, request)}, moment);
    ledger_.AddUnread(record.key, request.indexer(), UnreadOf(request));
    meter_.BatchAdded(record, ledger_.LoadSession(record.key).counts, request, moment.wall);
    wire::ClientReply reply;
    reply.mutable_publish_ack();
    return reply;
  });
}

wire::ClientReply Service::Answer(const wire::RecordComparisons& request) {
  return About(request.session(), [&](const SessionRecord& record) {
    std::vector<Comparison> comparisons;
    for (const auto& entry : request.comparisons()) {
      comparisons.push_back({entry.study(), entry.index(), entry.difference()});
    }
    ledger_.RecordComparisons(record.key, comparisons);
    // What a session that has ended is told now belongs into its summary, too.
    if (!IsOpen(record.key)) ended_.push_back(record.key);
    wire::ClientReply reply;
    reply.mutable_publish_ack();
    return reply;
  });
}

wire::ClientReply Service::Answer(const wire::ScanComplete& request, const Moment& moment) {
  return About(request.session(), [&](const SessionRecord& record) {
    std::map<std::string, std::uint64_t> ignored;
    for (const auto& files : request.ignored()) ignored[files.reason()] += files.files();
    ledger_.CompleteScan(record.key, request.indexer(), request.scan(), ignored);
    if (ledger_.LoadSession(record.key).scan_complete) Apply(ScanCompleted{record.key}, moment);
    return queries_.Status(record.key, moment.now);
  });
}

wire::ClientReply Service::Answer(const wire::SuspendSession& request, const Moment& moment) {
  return About(request.session(), [&](const SessionRecord& record) {
    if (record.ending != wire::SESSION_CANCELLED) End(record.key, wire::SESSION_SUSPENDED, moment);
    return queries_.Status(record.key, moment.now);
  });
}

wire::ClientReply Service::Answer(const wire::CancelSession& request, const Moment& moment) {
  return About(request.session(), [&](const SessionRecord& record) {
    if (record.state == wire::SESSION_COMPLETE) return HasEnded(record);
    if (IsOpen(record.key)) {
      End(record.key, wire::SESSION_CANCELLED, moment);
    } else if (record.state == wire::SESSION_SUSPENDED) {
      Write(SessionChanged{record.key, wire::SESSION_CANCELLED, kCancelled}, moment);
    }
    return queries_.Status(record.key, moment.now);
  });
}

wire::ClientReply Service::Answer(const wire::RequeueInstances& request, const Moment& moment) {
  return About(request.session(), [&](const SessionRecord& record) {
    const bool reopens = !IsOpen(record.key) && record.state != wire::SESSION_SUSPENDED;
    if (reopens && sessions_.size() >= kOpenSessionsMax) return TooManySessions();
    RequeueFilter filter;
    if (request.has_status()) filter.status = static_cast<std::uint16_t>(request.status());
    if (request.has_study_instance_uid()) filter.study_instance_uid = request.study_instance_uid();
    if (request.has_reason()) filter.reason = request.reason();
    if (request.has_worker()) filter.worker = request.worker();
    const auto feeds = ledger_.Requeue(record.key, filter);
    if (IsOpen(record.key)) {
      Apply(StudiesFed{record.key, feeds}, moment);
    } else if (!feeds.empty() && reopens) {
      Reopen(record, moment);
    }
    wire::ClientReply reply;
    std::uint64_t instances = 0;
    for (const StudyFeed& feed : feeds) instances += feed.pending;
    reply.mutable_requeue_ack()->set_instances(instances);
    return reply;
  });
}

wire::ClientReply Service::Answer(const wire::DrainWorker& request, const Moment& moment) {
  if (!scheduler_.Knows(request.worker())) return Failed(fmt::format("there is no worker {}", request.worker()));
  Apply(DrainRequested{request.worker()}, moment);
  wire::ClientReply reply;
  reply.mutable_drain_ack();
  return reply;
}

// --- workers

void Service::Handle(const Incoming& incoming, const wire::WorkerMessage& message, const Moment& moment) {
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

void Service::Handle(const Incoming& incoming, const wire::WorkerStatus& status, const Moment& moment) {
  const std::string& worker = status.worker_id();
  if (scheduler_.IsSuperseded(worker, status.incarnation())) {
    return Refuse(incoming, Superseded(worker, scheduler_.incarnation_of(worker) - status.incarnation()),
                  /*for_good=*/true, moment);
  }
  // The name belongs to the key under which the worker was heard of first: what it holds is promised to that key.
  const auto known = connections_.find(worker);
  if (known != connections_.end() && scheduler_.Knows(worker) && known->second.key != incoming.key) {
    return Refuse(incoming,
                  fmt::format("worker {} is known by another key: give each worker a name of its own by --worker-id, "
                              "or wait until that one is forgotten",
                              ToPrintable(worker)),
                  /*for_good=*/false, moment);
  }
  if (!scheduler_.Knows(worker)) {
    if (scheduler_.worker_count() >= kWorkersMax) {
      return Refuse(incoming, fmt::format("{} workers are known, and no more are taken", kWorkersMax),
                    /*for_good=*/false, moment);
    }
    spdlog::info("Worker {} connected, with {} associations", worker, status.capacity());
  }
  WorkerSeen seen{.worker = worker,
                  .incarnation = status.incarnation(),
                  .seq = status.seq(),
                  .capacity = status.capacity(),
                  .draining = status.draining(),
                  .not_ready = status.not_ready(),
                  .held = {}};
  for (const auto& held : status.held()) seen.held.push_back({held.lease_id(), held.progressed()});
  if (scheduler_.IsOvertaken(seen)) return;  // it may have come over a connection that is gone
  connections_[worker] = {incoming.peer, incoming.key};
  status_seq_ = status.seq();
  Apply(seen, moment);
  status_seq_ = 0;
}

// A lease belongs to the key to which it was granted. Without keys it belongs to the connection from which its worker
// was heard of last; a worker says what it is before anything else.
bool Service::Holds(const Incoming& incoming, const LeaseRecord& lease) const {
  if (!lease.identity.empty()) return incoming.key == lease.identity;
  const auto connection = connections_.find(lease.worker);
  return connection == connections_.end() || connection->second.peer.empty() ||
         connection->second.peer == incoming.peer;
}

// It is not told which lease: a worker takes that for the word of another ledger.
void Service::RefuseStranger(const Incoming& incoming, const LeaseRecord& lease, const Moment& moment) {
  Refuse(incoming,
         fmt::format("lease {} was granted to worker {}, over another connection or to another key", lease.id,
                     ToPrintable(lease.worker)),
         /*for_good=*/false, moment);
}

void Service::Handle(const Incoming& incoming, const wire::PageRequest& request, const Moment& moment) {
  const auto study = scheduler_.StudyOf(request.lease_id());
  if (study) {
    const auto lease = ledger_.FindLease(request.lease_id());
    if (lease && !Holds(incoming, *lease)) return RefuseStranger(incoming, *lease, moment);
  }
  wire::CoordinatorMessage message;
  if (study) {
    *message.mutable_page() = PageOf(request.lease_id(), *study, request.from_index());
  } else {
    message.mutable_page()->set_lease_id(request.lease_id());
    message.mutable_page()->set_from_index(request.from_index());
  }
  Send(incoming.peer, std::move(message));
}

wire::Page Service::PageOf(LeaseId lease, StudyKey study, std::uint32_t from_index) {
  wire::Page page = ledger_.LoadPage(study, lease, from_index, kPageInstances);
  if (page.instances_size() > 0) ledger_.SetPageEnd(study, page.instances().rbegin()->index() + 1);
  return page;
}

void Service::Handle(const Incoming& incoming, const wire::Report& report, const Moment& moment) {
  // A lease that was never granted is not acknowledged: it is of another ledger, and what it reports is not ours.
  const auto lease = ledger_.FindLease(report.lease_id());
  if (!lease) {
    return Refuse(incoming, fmt::format("a report of lease {}, which is not in this ledger", report.lease_id()),
                  /*for_good=*/false, moment, report.lease_id());
  }
  if (!Holds(incoming, *lease)) return RefuseStranger(incoming, *lease, moment);
  // The one before was lost on its way. Both will come again; applied out of order, the earlier one would be taken
  // for a repetition.
  if (report.seq() > lease->last_report_seq + 1) return;
  if (report.seq() == lease->last_report_seq + 1) ApplyReport(report, *lease, moment);

  wire::CoordinatorMessage message;
  message.mutable_report_ack()->set_lease_id(report.lease_id());
  message.mutable_report_ack()->set_seq(report.seq());
  Send(incoming.peer, std::move(message));
}

void Service::ApplyReport(const wire::Report& report, const LeaseRecord& lease, const Moment& moment) {
  Reported event{.lease = lease.id,
                 .study = lease.study,
                 .suspect_end = lease.suspect_end,
                 .associations = report.associations(),
                 .outcomes = {},
                 .give_back = {}};
  std::map<std::uint32_t, const wire::Outcome*> by_index;
  for (const auto& outcome : report.outcomes()) by_index.emplace(outcome.index(), &outcome);
  std::vector<std::uint32_t> indices;
  indices.reserve(by_index.size());
  for (const auto& [index, outcome] : by_index) indices.push_back(index);
  for (const InstanceFacts& facts : ledger_.LoadInstances(lease.study, indices)) {
    event.outcomes.push_back({*by_index.at(facts.index), facts});
  }
  if (report.has_give_back()) event.give_back = report.give_back();
  const bool late = !scheduler_.StudyOf(lease.id);
  ledger_.RecordReport(lease, report.seq(), report.associations());
  const auto open = sessions_.find(lease.session);  // afterwards it may be over
  const auto& destination =
      meter_.InstancesTo(open != sessions_.end() ? open->second : ledger_.LoadSession(lease.session).settings);
  for (const LedgerChange& change : Apply(event, moment, lease.worker).changes) {
    const auto* instance = std::get_if<InstanceChange>(&change);
    if (!instance) continue;
    meter_.InstanceChanged(lease.session, *instance, by_index.at(instance->index)->kind(), destination, moment.wall);
  }
  if (!late || report.outcomes_size() == 0) return;
  // What a session that has ended is told now belongs into its summary, too.
  const SessionKey session = lease.session;
  if (!IsOpen(session) && std::find(ended_.begin(), ended_.end(), session) == ended_.end()) ended_.push_back(session);
}

// --- the scheduler's output

Output Service::Apply(const Event& event, const Moment& moment, std::string_view reporter) {
  Output output = scheduler_.Step(event, moment.now);
  for (LedgerChange& change : output.changes) {
    if (auto* instance = std::get_if<InstanceChange>(&change)) instance->worker = reporter;
  }
  const std::vector<PromotedCopy> promoted = Write(output.changes, moment);
  for (const Reply& reply : output.replies) std::visit([this](const auto& r) { Tell(r); }, reply);
  for (const QuarantineBegun& begun : output.quarantines) NoteQuarantine(begun);
  for (Duration wait : output.queue_waits) {
    metrics_.queue_wait_seconds.Observe(std::chrono::duration<double>(wait).count());
  }
  WriteSessions(output.changes, promoted, moment);
  return output;
}

std::vector<PromotedCopy> Service::Write(const std::vector<LedgerChange>& changes, const Moment& moment) {
  // Outcomes are written together, as they come: nearly always they are all there is.
  std::vector<InstanceChange> instances;
  std::set<StudyKey> failed_studies;
  for (const LedgerChange& change : changes) {
    const auto* instance = std::get_if<InstanceChange>(&change);
    if (!instance) continue;
    instances.push_back(*instance);
    if (instance->state == InstanceState::kFailed) failed_studies.insert(instance->study);
  }
  if (!instances.empty()) ledger_.ChangeInstances(instances, moment.wall);
  for (const LedgerChange& change : changes) {
    if (const auto* granted = std::get_if<LeaseGranted>(&change)) {
      ledger_.GrantLease(granted->study, granted->lease, granted->worker, connections_[granted->worker].key,
                         granted->worker_capacity, moment.wall);
    } else if (const auto* ended = std::get_if<LeaseEnded>(&change)) {
      if (!ended->clean) NoteUncleanEnd(*ended);
      metrics_.resends_total.Increment(static_cast<double>(ledger_.EndLease(ended->study, ended->clean)));
    } else if (const auto* failed = std::get_if<StudyFailed>(&change)) {
      FailStudy(*failed, moment);
      failed_studies.insert(failed->study);
    }
  }
  std::vector<PromotedCopy> promoted;
  for (const StudyKey study : failed_studies) {
    for (PromotedCopy& copy : ledger_.PromoteCopies(study)) {
      spdlog::warn("{} has failed: {}, which has the same SOP Instance UID, is sent instead", copy.failed_path,
                   copy.path);
      promoted.push_back(std::move(copy));
    }
  }
  return promoted;
}

// The scheduler knows nothing of copies: it learns of them as of studies that are fed, and where it takes a session
// for complete, the session is opened anew.
void Service::WriteSessions(const std::vector<LedgerChange>& changes, const std::vector<PromotedCopy>& promoted,
                            const Moment& moment) {
  std::map<SessionKey, std::vector<StudyFeed>> feeds;
  for (const PromotedCopy& copy : promoted) feeds[copy.session].push_back(copy.feed);
  for (const LedgerChange& change : changes) {
    const auto* session = std::get_if<SessionChanged>(&change);
    if (!session) continue;
    const bool goes_on = session->state == wire::SESSION_COMPLETE && feeds.contains(session->session);
    if (!IsOngoing(session->state)) feeds.erase(session->session);
    goes_on ? OpenInScheduler(ledger_.LoadSession(session->session), moment) : Write(*session, moment);
  }
  for (auto& [session, studies] : feeds) Apply(StudiesFed{session, std::move(studies)}, moment);
}

void Service::FailStudy(const StudyFailed& change, const Moment& moment) {
  const StudyRecord study = ledger_.LoadStudy(change.study);
  const std::uint64_t instances = ledger_.FailStudy(change.study, change.reason, moment.wall);
  const ScopedLogFields fields(
      {.session = ledger_.LoadSession(study.session).settings.session(), .study = study.uid});
  spdlog::warn("Study {} has failed with {} instances: {}", study.uid.empty() ? "without a UID" : study.uid,
               instances, change.reason);
  meter_.StudyFailed(ledger_.LoadSession(study.session).settings, instances);
}

void Service::NoteQuarantine(const QuarantineBegun& begun) {
  spdlog::warn(
      "Worker {} is quarantined for {}: {}; it is tried again from time to time, and others, if there are any, take "
      "its studies",
      begun.worker, queries_.InWords(begun.what.subject), begun.what.reason);
}

// A file that kills its workers is found by the study that is named here.
void Service::NoteUncleanEnd(const LeaseEnded& ended) {
  const StudyRecord record = ledger_.LoadStudy(ended.study);
  const ScopedLogFields fields(
      {.session = ledger_.LoadSession(record.session).settings.session(), .study = record.uid});
  const std::string study = record.uid.empty() ? "without a UID" : record.uid;
  if (ended.revoked) {
    spdlog::info("Lease {} of study {} at worker {} has ended with its session", record.lease, study,
                 record.lease_worker);
    return;
  }
  spdlog::warn(
      "Worker {} has lost its lease {} of study {}: it was not heard of, has started anew, or made no progress",
      record.lease_worker, record.lease, study);
}

void Service::Write(const SessionChanged& change, const Moment& moment) {
  ledger_.SetSessionState(change.session, change.state, change.reason, moment.wall);
  if (IsOngoing(change.state)) return;
  if (change.state == wire::SESSION_SUSPENDED) {
    suspended_.insert(change.session);
  } else {
    suspended_.erase(change.session);
  }
  meter_.SessionEnded(change.state);
  sessions_.erase(change.session);
  ended_.push_back(change.session);
}

void Service::Tell(const GrantReply& reply) {
  const auto connection = connections_.find(reply.worker);
  const auto session = sessions_.find(reply.session);
  if (connection == connections_.end() || session == sessions_.end()) return;
  wire::CoordinatorMessage message;
  auto* grant = message.mutable_grant();
  grant->set_lease_id(reply.lease);
  grant->set_ttl_ms(TtlMs());
  grant->set_session(session->second.session());
  grant->set_study_instance_uid(ledger_.LoadStudy(reply.study).uid);
  *grant->mutable_destination() = session->second.destination();
  *grant->mutable_send_options() = session->second.send_options();
  for (auto& pair : ledger_.ContextPairs(reply.study, kContextPairsMax)) *grant->add_pairs() = std::move(pair);
  *grant->mutable_first_page() = PageOf(reply.lease, reply.study, 0);
  Send(connection->second.peer, std::move(message));
}

void Service::Tell(const StatusReply& reply) {
  const auto connection = connections_.find(reply.worker);
  if (connection == connections_.end()) return;
  wire::CoordinatorMessage message;
  auto* ack = message.mutable_status_ack();
  ack->set_seq(status_seq_);
  ack->set_ttl_ms(TtlMs());
  ack->set_drain(reply.drain);
  ack->mutable_renewed()->Assign(reply.renewed.begin(), reply.renewed.end());
  ack->mutable_revoked()->Assign(reply.revoked.begin(), reply.revoked.end());
  for (const LeaseId lease : reply.revoked) {
    if (scheduler_.IsRevoked(lease)) ack->add_ended(lease);
  }
  Send(connection->second.peer, std::move(message));
}

std::uint32_t Service::TtlMs() const {
  return static_cast<std::uint32_t>(std::chrono::ceil<std::chrono::milliseconds>(scheduler_.lease_ttl()).count());
}

// Those that the scheduler has forgotten.
void Service::ForgetSilentWorkers() {
  if (connections_.size() <= scheduler_.worker_count()) return;
  std::erase_if(connections_, [this](const auto& entry) {
    if (scheduler_.Knows(entry.first)) return false;
    spdlog::info("Worker {} is gone: it was not heard of for the lease time", entry.first);
    return true;
  });
}

}  // namespace dicom_sender
