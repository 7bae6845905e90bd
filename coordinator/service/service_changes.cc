// Handles the output of a scheduler step: writes its changes to the ledger, and sends its replies to the workers.
#include <spdlog/spdlog.h>

#include <set>

#include "common/log.h"
#include "coordinator/service/service.h"
#include "proto/session_state.h"

namespace dicom_sender {

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
  // Outcomes are nearly always the only changes, so they are written in one call. It keeps their order.
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
      spdlog::warn("'{}' failed; '{}', which has the same SOP Instance UID, is sent instead", copy.failed_path,
                   copy.path);
      promoted.push_back(std::move(copy));
    }
  }
  return promoted;
}

// The scheduler does not know about copies. A promoted copy reaches it as a feed, and a session that it considers
// complete is reopened for that.
void Service::WriteSessions(const std::vector<LedgerChange>& changes, const std::vector<PromotedCopy>& promoted,
                            const Moment& moment) {
  std::map<SessionKey, std::vector<StudyFeed>> feeds;
  for (const PromotedCopy& copy : promoted) feeds[copy.session].push_back(copy.feed);
  for (const LedgerChange& change : changes) {
    const auto* session = std::get_if<SessionChanged>(&change);
    if (!session) continue;
    const bool continues = session->state == wire::SESSION_COMPLETE && feeds.contains(session->session);
    if (HasEnded(session->state)) feeds.erase(session->session);
    continues ? OpenInScheduler(ledger_.LoadSession(session->session), moment) : Write(*session, moment);
  }
  for (auto& [session, studies] : feeds) Apply(StudiesFed{session, std::move(studies)}, moment);
}

void Service::Write(const SessionChanged& change, const Moment& moment) {
  ledger_.SetSessionState(change.session, change.state, change.reason, moment.wall);
  if (!HasEnded(change.state)) return;
  if (change.state == wire::SESSION_SUSPENDED) {
    suspended_.insert(change.session);
  } else {
    suspended_.erase(change.session);
  }
  meter_.SessionEnded(change.state);
  sessions_.erase(change.session);
  ended_.push_back(change.session);
}

void Service::FailStudy(const StudyFailed& change, const Moment& moment) {
  const StudyRecord study = ledger_.LoadStudy(change.study);
  const std::uint64_t instances = ledger_.FailStudy(change.study, change.reason, moment.wall);
  const Settings settings = SettingsOf(study.session);
  const ScopedLogFields fields({.session = settings->session(), .study = study.uid});
  spdlog::warn("Study {} failed with {} instances: {}", study.uid.empty() ? "without a UID" : study.uid, instances,
               change.reason);
  meter_.StudyFailed(*settings, instances);
}

// The log names the study, so that an operator can find a file that crashes the workers.
void Service::NoteUncleanEnd(const LeaseEnded& ended) {
  const StudyRecord record = ledger_.LoadStudy(ended.study);
  const ScopedLogFields fields({.session = SettingsOf(record.session)->session(), .study = record.uid});
  const std::string study = record.uid.empty() ? "without a UID" : record.uid;
  if (ended.revoked) {
    spdlog::info("Lease {} of study {} at worker {} ended with its session", record.lease, study,
                 record.lease_worker);
    return;
  }
  spdlog::warn("Worker {} lost its lease {} of study {}: it timed out, restarted, or made no progress",
               record.lease_worker, record.lease, study);
}

void Service::NoteQuarantine(const QuarantineBegun& begun) {
  spdlog::warn(
      "Worker {} is quarantined for {}: {}; it is tried again from time to time, and other workers, if any, take its "
      "studies",
      begun.worker, queries_.InWords(begun.what.subject), begun.what.reason);
}

}  // namespace dicom_sender
