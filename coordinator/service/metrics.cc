#include "coordinator/service/metrics.h"

namespace dicom_sender {
namespace {

// "abandoned" always stays 0. The series remains because dashboards may use it.
constexpr std::initializer_list<const char*> kOutcomes = {
    "stored", "stored_with_warning", "failed", "skipped", "delayed", "abandoned"};

}  // namespace

DestinationMetrics::DestinationMetrics(prometheus::Registry& registry)
    : instances_total_(MakeCounters(registry, "destination_instances_total", "Outcomes of instances by destination")),
      settled_bytes_total_(
          MakeCounters(registry, "destination_settled_bytes_total", "Bytes of the instances that got an outcome")),
      found_instances_(MakeGauges(registry, "destination_found_instances", "Instances of open sessions")),
      pending_instances_(MakeGauges(registry, "destination_pending_instances",
                                    "Instances of open sessions that have no outcome yet")),
      pending_bytes_(MakeGauges(registry, "destination_pending_bytes", "Bytes of these instances")),
      sending_sessions_(
          MakeGauges(registry, "destination_sending_sessions",
                     "Open sessions that may be sent: their scan is complete, or they do not wait for it")),
      associations_(MakeGauges(registry, "destination_associations", "Studies that workers are sending")),
      breaker_open_(MakeGauges(registry, "destination_breaker_open",
                               "1 while the destination is unreachable and is retried with one study at a time")) {}

DestinationMetrics::Series& DestinationMetrics::Of(const std::string& destination) {
  const std::string label = LabelValue(destination);
  const bool known = series_.size() < kDestinationsMax || series_.contains(label);
  const std::string name = known ? label : "other";
  if (const auto it = series_.find(name); it != series_.end()) return it->second;
  const prometheus::Labels labels = {{"destination", name}};
  Series series{.instances_total = {},
                .settled_bytes_total = settled_bytes_total_.Add(labels),
                .found_instances = found_instances_.Add(labels),
                .pending_instances = pending_instances_.Add(labels),
                .pending_bytes = pending_bytes_.Add(labels),
                .sending_sessions = sending_sessions_.Add(labels),
                .associations = associations_.Add(labels),
                .breaker_open = breaker_open_.Add(labels)};
  for (const char* outcome : kOutcomes) {
    series.instances_total[outcome] = &instances_total_.Add({{"destination", name}, {"outcome", outcome}});
  }
  return series_.emplace(name, std::move(series)).first->second;
}

void DestinationMetrics::SetLoads(const std::map<std::string, DestinationLoad>& loads) {
  // Destinations that share the series "other" are summed up first, because another thread may read it at any time.
  std::map<Series*, DestinationLoad> sums;
  for (auto& [name, series] : series_) sums[&series];
  for (const auto& [destination, load] : loads) {
    DestinationLoad& sum = sums[&Of(destination)];
    sum.found_instances += load.found_instances;
    sum.pending_instances += load.pending_instances;
    sum.pending_bytes += load.pending_bytes;
    sum.settled_bytes += load.settled_bytes;
    sum.sending_sessions += load.sending_sessions;
    sum.associations += load.associations;
    sum.breaker_open |= load.breaker_open;
  }
  for (const auto& [series, sum] : sums) {
    series->found_instances.Set(static_cast<double>(sum.found_instances));
    series->pending_instances.Set(static_cast<double>(sum.pending_instances));
    series->pending_bytes.Set(static_cast<double>(sum.pending_bytes));
    series->settled_bytes_total.Increment(static_cast<double>(sum.settled_bytes));
    series->sending_sessions.Set(static_cast<double>(sum.sending_sessions));
    series->associations.Set(static_cast<double>(sum.associations));
    series->breaker_open.Set(sum.breaker_open ? 1 : 0);
  }
}

CoordinatorMetrics::CoordinatorMetrics(prometheus::Registry& registry)
    : instances_total(registry, "instances_total", "Outcomes of instances", "outcome", kOutcomes),
      failures_total(
          registry, "failures_total",
          "Instances that failed, by the destination's answer or the defect that was found", "reason",
          {"out_of_resources", "processing_failure", "dataset_mismatch", "cannot_understand",
           "sop_class_not_supported", "other_status", "association_lost", "not_sendable", "defective_file"}),
      destinations(registry),
      sessions(MakeGauges(registry, "sessions",
                          "Open sessions: those that may not be sent before their scan is "
                          "complete (scanning), and those that may (sending)")),
      sessions_scanning(sessions.Add({{"state", "scanning"}})),
      sessions_sending(sessions.Add({{"state", "sending"}})),
      sessions_ended_total(registry, "sessions_ended_total", "Sessions that ended or were suspended, by their state",
                           "state", {"complete", "unreachable", "refused", "suspended", "cancelled"}),
      queue_wait_seconds(MakeHistogram(registry, "queue_wait_seconds",
                                       "How long studies were ready before they were leased", kLongDurations)),
      studies(MakeGauges(registry, "studies", "Studies by state")),
      studies_pending(studies.Add({{"state", "pending"}})),
      studies_delayed(studies.Add({{"state", "delayed"}})),
      studies_leased(studies.Add({{"state", "leased"}})),
      studies_done(studies.Add({{"state", "done"}})),
      leases_expired_total(MakeCounter(registry, "leases_expired_total", "Leases that expired")),
      late_outcomes_total(
          MakeCounter(registry, "late_outcomes_total", "Outcomes that were reported after their lease had ended")),
      resends_total(MakeCounter(registry, "resends_total", "Instances that may have been sent twice")),
      messages_refused_total(
          MakeCounter(registry, "messages_refused_total",
                      "Messages that were malformed, unexpected, or of a different protocol version")),
      workers_connected(MakeGauge(registry, "workers_connected", "Workers that sent a status recently")),
      workers_quarantined(
          MakeGauge(registry, "workers_quarantined",
                    "Workers that fail to reach a destination or to read files where others succeed")),
      breaker_open(MakeGauge(registry, "breaker_open", "Destinations whose circuit breaker is not closed")),
      last_success_timestamp_seconds(
          MakeGauge(registry, "last_success_timestamp_seconds", "When an instance was last reported stored")),
      ledger_commit_duration_seconds(MakeHistogram(registry, "ledger_commit_duration_seconds",
                                                   "Duration of the ledger's commits", kShortDurations)) {}

}  // namespace dicom_sender
