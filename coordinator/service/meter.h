// Counts in the metrics what becomes of instances, sessions, and destinations, and keeps the latest failures for the
// status page. One thread.
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

// The series and loads of a destination are those of its text, "AE:port@host".
class Meter {
 public:
  explicit Meter(CoordinatorMetrics& metrics) : metrics_(metrics) {}

  void SessionOpened(const wire::OpenSession& settings);  // its destination has series from now on
  void SessionEnded(wire::SessionState state);
  // What a report has changed. `outcomes`: those of the report, by the index of their instance.
  void ReportApplied(SessionKey session, const wire::OpenSession& settings, std::span<const LedgerChange> changes,
                     const std::map<std::uint32_t, const wire::Outcome*>& outcomes, WallTime now);
  // What a batch has settled by itself: duplicates, and files whose defect is known from the scan.
  void BatchAdded(const SessionRecord& before, const Counts& counts, const wire::PublishBatch& batch, WallTime now);
  // `instances` of a study that failed as a whole.
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
  SchedulerStats counted_;                             // what the counters have
  std::map<SessionKey, std::uint64_t> settled_bytes_;  // the same, of the open sessions
};

}  // namespace dicom_sender
