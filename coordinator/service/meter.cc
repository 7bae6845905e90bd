#include "coordinator/service/meter.h"

#include <chrono>
#include <map>

#include "coordinator/ledger/instance_words.h"
#include "dicom/dimse_status.h"
#include "proto/words.h"

namespace dicom_sender {
namespace {

// A pending instance was sent without an answer and will be sent again, so it counts as delayed.
const char* OutcomeName(InstanceState state) {
  return InstanceStateWord(state == InstanceState::kPending ? InstanceState::kDelayed : state);
}

}  // namespace

const DestinationMetrics::Outcomes& Meter::InstancesTo(const wire::OpenSession& settings) {
  return metrics_.destinations.InstancesTotal(DestinationText(settings.destination()));
}

void Meter::SessionOpened(const wire::OpenSession& settings) { InstancesTo(settings); }

void Meter::SessionEnded(wire::SessionState state) {
  metrics_.sessions_ended_total[SessionStateWord(state)].Increment();
}

void Meter::ReportApplied(SessionKey session, const wire::OpenSession& settings,
                          std::span<const LedgerChange> changes,
                          const std::map<std::uint32_t, const wire::Outcome*>& outcomes, WallTime now) {
  const auto& destination = InstancesTo(settings);
  for (const LedgerChange& change : changes) {
    const auto* instance = std::get_if<InstanceChange>(&change);
    if (!instance) continue;
    InstanceChanged(*instance, outcomes.at(instance->index)->kind(), destination, now);
    if (instance->state == InstanceState::kFailed) failures_.Add(session, settings.session(), *instance, now);
  }
}

// `kind`: the kind of the outcome that changed the instance.
void Meter::InstanceChanged(const InstanceChange& change, wire::Outcome::Kind kind,
                            const DestinationMetrics::Outcomes& destination, WallTime now) {
  const char* outcome = OutcomeName(change.state);
  metrics_.instances_total[outcome].Increment();
  destination.at(outcome)->Increment();
  if (change.resend) metrics_.resends_total.Increment();
  if (change.state == InstanceState::kStored || change.state == InstanceState::kStoredWithWarning) {
    metrics_.last_success_timestamp_seconds.Set(std::chrono::duration<double>(now.time_since_epoch()).count());
  }
  if (change.state != InstanceState::kFailed) return;
  const char* unanswered = kind == wire::Outcome::NOT_SENDABLE ? "not_sendable" : "association_lost";
  metrics_.failures_total[change.status ? StatusCategory(*change.status) : unanswered].Increment();
}

void Meter::BatchAdded(const SessionRecord& before, const Counts& counts, const wire::PublishBatch& batch,
                       WallTime now) {
  const auto count = [&](const char* outcome, std::uint64_t was, std::uint64_t is) {
    if (is <= was) return;
    metrics_.instances_total[outcome].Increment(static_cast<double>(is - was));
    InstancesTo(before.settings).at(outcome)->Increment(static_cast<double>(is - was));
  };
  count("skipped", before.counts.skipped, counts.skipped);
  count("failed", before.counts.failed, counts.failed);
  if (counts.failed <= before.counts.failed) return;
  metrics_.failures_total["defective_file"].Increment(static_cast<double>(counts.failed - before.counts.failed));
  failures_.AddDefects(batch, now);
}

void Meter::StudyFailed(const wire::OpenSession& settings, std::uint64_t instances) {
  metrics_.instances_total["failed"].Increment(static_cast<double>(instances));
  InstancesTo(settings).at("failed")->Increment(static_cast<double>(instances));
}

void Meter::Stats(const SchedulerStats& stats) {
  metrics_.studies_pending.Set(static_cast<double>(stats.studies_pending));
  metrics_.studies_delayed.Set(static_cast<double>(stats.studies_delayed));
  metrics_.studies_leased.Set(static_cast<double>(stats.studies_leased));
  metrics_.studies_done.Set(static_cast<double>(stats.studies_done));
  metrics_.workers_connected.Set(static_cast<double>(stats.workers_connected));
  metrics_.workers_quarantined.Set(static_cast<double>(stats.workers_quarantined));
  metrics_.breaker_open.Set(static_cast<double>(stats.breakers_open));
  metrics_.leases_expired_total.Increment(static_cast<double>(stats.leases_expired - counted_.leases_expired));
  metrics_.late_outcomes_total.Increment(static_cast<double>(stats.late_outcomes - counted_.late_outcomes));
  counted_ = stats;
}

void Meter::Loads(std::span<const SessionRecord> open, const wire::DestinationsPage& destinations) {
  std::map<std::string, DestinationLoad> loads;
  std::map<SessionKey, std::uint64_t> settled_before;
  settled_before.swap(settled_bytes_);
  std::size_t scanning = 0;
  for (const SessionRecord& record : open) {
    const bool may_be_sent = record.scan_complete || record.settings.dispatch() == wire::DISPATCH_AS_FOUND;
    scanning += !may_be_sent;
    DestinationLoad& load = loads[DestinationText(record.settings.destination())];
    load.sending_sessions += may_be_sent;
    load.found_instances += record.counts.total;
    load.pending_instances += record.counts.unsettled();
    load.pending_bytes += record.counts.total_bytes - record.counts.settled_bytes;
    // The bytes that were settled before the first call are not progress, and neither is a requeue.
    const std::uint64_t settled = settled_bytes_[record.key] = record.counts.settled_bytes;
    const auto before = settled_before.find(record.key);
    if (before != settled_before.end() && settled > before->second) load.settled_bytes += settled - before->second;
  }
  for (const auto& destination : destinations.destinations()) {
    DestinationLoad& load = loads[destination.destination()];
    load.associations = destination.leases();
    load.breaker_open = destination.breaker_open();
  }
  metrics_.destinations.SetLoads(loads);
  metrics_.sessions_scanning.Set(static_cast<double>(scanning));
  metrics_.sessions_sending.Set(static_cast<double>(open.size() - scanning));
}

}  // namespace dicom_sender
