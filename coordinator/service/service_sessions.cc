// Opens, resumes, suspends, cancels, and requeues sessions, and restores them after a restart.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "common/log.h"
#include "coordinator/service/replies.h"
#include "coordinator/service/service.h"
#include "proto/words.h"

namespace dicom_sender {
namespace {

constexpr std::size_t kStudiesPerRead = 10'000;
constexpr const char* kCancelled = "cancelled by an operator";

wire::SessionState OngoingState(const SessionRecord& record) {
  return record.scan_complete ? wire::SESSION_SENDING : wire::SESSION_SCANNING;
}

std::optional<Duration> RetryForOf(const wire::OpenSession& settings) {
  if (!settings.has_retry_for_ms()) return std::nullopt;
  return std::chrono::milliseconds(settings.retry_for_ms());
}

}  // namespace

wire::ClientReply Service::Answer(const wire::OpenSession& request, const Moment& moment) {
  auto record = ledger_.FindSession(request.session());
  const bool opens = record ? request.resume() && !IsOpen(record->key) : true;
  if (record && request.resume() && record->ending == wire::SESSION_SUSPENDED) Continue(*record, moment);
  if (!record && request.resume()) return NoSuchSession(request.session());
  if (opens && sessions_.size() >= kOpenSessionsMax) return TooManySessions();
  if (!record) {
    record = ledger_.CreateSession(request, moment.wall);
    const ScopedLogFields fields({.session = request.session()});
    spdlog::info("Session {} opened: {} to {} as {}", request.session(), fmt::join(request.inputs(), ", "),
                 DestinationText(request.destination()), request.destination().calling_ae());
    OpenInScheduler(*record, moment);
  } else if (opens) {
    Resume(*record, request, moment);
  }
  return StatusAfterChange(record->key, moment);
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

// Withdraws a suspension that is still waiting for leases to end.
void Service::Continue(const SessionRecord& record, const Moment& moment) {
  if (!IsOpen(record.key)) return;
  const ScopedLogFields fields({.session = record.settings.session()});
  spdlog::info("Session {} resumed", record.settings.session());
  ledger_.SetEnding(record.key, std::nullopt);
  Apply(ContinueRequested{record.key}, moment);
}

void Service::Reopen(const SessionRecord& record, const Moment& moment) {
  const ScopedLogFields fields({.session = record.settings.session()});
  spdlog::info("Session {} resumed", record.settings.session());
  ledger_.SetSessionState(record.key, OngoingState(record), {}, moment.wall);
  OpenInScheduler(record, moment);
}

void Service::OpenInScheduler(const SessionRecord& record, const Moment& moment) {
  const wire::OpenSession& settings = record.settings;
  sessions_[record.key] = std::make_shared<const wire::OpenSession>(settings);
  suspended_.erase(record.key);
  meter_.SessionOpened(settings);
  // The scan counts as incomplete until everything in the ledger has been fed. Otherwise the session would have no
  // studies yet and would be complete at once.
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
  if (record.ending) End(record.key, *record.ending, moment);  // requested before the coordinator restarted
}

// An earlier coordinator granted these leases, and their workers may still be sending.
void Service::RestoreLeases(SessionKey session, const Moment& moment) {
  for (const StudyRecord& study : ledger_.LeasedStudies(session)) {
    // Until the worker reconnects, no other key may use its name.
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

wire::ClientReply Service::Answer(const wire::SuspendSession& request, const Moment& moment) {
  return About(request.session(), [&](const SessionRecord& record) {
    if (record.ending != wire::SESSION_CANCELLED) End(record.key, wire::SESSION_SUSPENDED, moment);
    return StatusAfterChange(record.key, moment);
  });
}

wire::ClientReply Service::Answer(const wire::CancelSession& request, const Moment& moment) {
  return About(request.session(), [&](const SessionRecord& record) {
    if (record.state == wire::SESSION_COMPLETE) return SessionHasEnded(record);
    if (IsOpen(record.key)) {
      End(record.key, wire::SESSION_CANCELLED, moment);
    } else if (record.state == wire::SESSION_SUSPENDED) {
      Write(SessionChanged{record.key, wire::SESSION_CANCELLED, kCancelled}, moment);
    }
    return StatusAfterChange(record.key, moment);
  });
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

}  // namespace dicom_sender
