// Updates the metrics of instances, sessions, and destinations, and keeps the latest failures for the status page.
// Not thread-safe.
#pragma once

#include <map>
#include <span>
#include <string>

#include "coordinator/ledger/ledger.h"
#include "coordinator/scheduler/scheduler.h"
#include "coordinator/service/metrics.h"
#include "coordinator/service/recent_failures.h"
#include "status.pb.h"

namespace dicom_sender {

// The text "AE:port@host" identifies the series and the load of a destination.
class Meter {
 public:
  explicit Meter(CoordinatorMetrics& metrics) : metrics_(metrics) {}

  void SessionOpened(const wire::OpenSession& settings);  // creates the series of its destination
  void SessionEnded(wire::SessionState state);
  // Counts what a report changed. `outcomes`: the outcomes in the report, by instance index.
  void ReportApplied(SessionKey session, const wire::OpenSession& settings, std::span<const LedgerChange> changes,
                     const std::map<std::uint32_t, const wire::Outcome*>& outcomes, WallTime now);
  // Counts what the batch settled at once: duplicates, and files with a defect that the scan found.
  void BatchAdded(const SessionRecord& before, const Counts& counts, const wire::PublishBatch& batch, WallTime now);
  // Counts the `instances` of a study that failed as a whole.
  void StudyFailed(const wire::OpenSession& settings, std::uint64_t instances);
  void Stats(const SchedulerStats& stats);
  void Loads(std::span<const SessionRecord> open, const wire::DestinationsPage& destinations);

  wire::FailuresPage LatestFailures(LedgerReader& ledger, WallTime now) { return failures_.Page(ledger, now); }

 private:
  const DestinationMetrics::Outcomes& InstancesTo(const wire::OpenSession& settings);
  void InstanceChanged(const InstanceChange& change, wire::Outcome::Kind kind,
                       const DestinationMetrics::Outcomes& destination, WallTime now);

  CoordinatorMetrics& metrics_;
  RecentFailures failures_;
  SchedulerStats counted_;                             // the statistics that the counters already include
  std::map<SessionKey, std::uint64_t> settled_bytes_;  // the bytes that they already include, by open session
};

}  // namespace dicom_sender
