#include "common/metrics.h"

namespace dicom_sender {
namespace {

using prometheus::Histogram;
using prometheus::Registry;

std::string Full(const std::string& name) { return "dicom_sender_" + name; }

prometheus::Counter& MakeCounter(Registry& registry, const std::string& name, const std::string& help) {
  return prometheus::BuildCounter().Name(Full(name)).Help(help).Register(registry).Add({});
}
prometheus::Gauge& MakeGauge(Registry& registry, const std::string& name, const std::string& help) {
  return prometheus::BuildGauge().Name(Full(name)).Help(help).Register(registry).Add({});
}
prometheus::Family<prometheus::Gauge>& MakeGauges(Registry& registry, const std::string& name,
                                                  const std::string& help) {
  return prometheus::BuildGauge().Name(Full(name)).Help(help).Register(registry);
}
Histogram& MakeHistogram(Registry& registry, const std::string& name, const std::string& help,
                         const Histogram::BucketBoundaries& bounds) {
  return prometheus::BuildHistogram().Name(Full(name)).Help(help).Register(registry).Add({}, bounds);
}

// Nothing is counted as "abandoned" any more; dashboards know the series, so it stays.
constexpr std::initializer_list<const char*> kOutcomes = {
    "stored", "stored_with_warning", "failed", "skipped", "delayed", "abandoned"};
const Histogram::BucketBoundaries kShort = {0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100};
const Histogram::BucketBoundaries kLong = {0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000};

}  // namespace

LabelledCounters::LabelledCounters(Registry& registry, const std::string& name, const std::string& help,
                                   const std::string& label, std::initializer_list<const char*> values)
    : family_(prometheus::BuildCounter().Name(Full(name)).Help(help).Register(registry)), label_(label) {
  for (const char* value : values) counters_[value] = &family_.Add({{label, value}});
}

prometheus::Counter& LabelledCounters::operator[](std::string_view value) {
  const auto it = counters_.find(value);
  return it != counters_.end() ? *it->second : family_.Add({{label_, "other"}});
}

IndexerMetrics::IndexerMetrics(Registry& registry)
    : indexed_files_total(
          registry, "indexed_files_total", "Files that the scan looked at", "result",
          {"indexed", "broken", "not_dicom", "empty", "unreadable", "unreadable_folder", "dicomdir"}) {}

WorkerMetrics::WorkerMetrics(Registry& registry)
    : threads(MakeGauge(registry, "threads", "Associations that the worker may have open at the same time")),
      thread_seconds_total(
          prometheus::BuildCounter()
              .Name(Full("thread_seconds_total"))
              .Help("What the threads spent their time on: opening and releasing associations; opening and reading "
                    "files and handing them to the kernel (storage); waiting until network or destination took more "
                    "(transfer); waiting for the answer to a C-STORE (response); decoding")
              .Register(registry)),
      association_seconds(thread_seconds_total.Add({{"activity", "association"}})),
      storage_seconds(thread_seconds_total.Add({{"activity", "storage"}})),
      transfer_seconds(thread_seconds_total.Add({{"activity", "transfer"}})),
      response_seconds(thread_seconds_total.Add({{"activity", "response"}})),
      decode_seconds(thread_seconds_total.Add({{"activity", "decode"}})),
      bytes_sent_total(MakeCounter(registry, "bytes_sent_total", "Bytes handed to the network")),
      cstore_duration_seconds(MakeHistogram(registry, "cstore_duration_seconds",
                                            "From the first byte of a C-STORE request to its response", kShort)),
      study_duration_seconds(
          MakeHistogram(registry, "study_duration_seconds", "From a study's lease to its give-back", kLong)),
      associations_active(MakeGauge(registry, "associations_active", "Associations that are open now")),
      association_failures_total(registry, "association_failures_total", "Associations that failed or were lost",
                                 "reason",
                                 {"resolve", "refused", "unreachable", "timeout", "rejected_permanent",
                                  "rejected_transient", "aborted", "connection_lost", "protocol_error"}) {}

DestinationMetrics::DestinationMetrics(Registry& registry)
    : instances_total_(prometheus::BuildCounter()
                           .Name(Full("destination_instances_total"))
                           .Help("Outcomes of instances by destination")
                           .Register(registry)),
      settled_bytes_total_(prometheus::BuildCounter()
                               .Name(Full("destination_settled_bytes_total"))
                               .Help("Bytes of the instances that got an outcome")
                               .Register(registry)),
      found_instances_(MakeGauges(registry, "destination_found_instances", "Instances of open sessions")),
      pending_instances_(MakeGauges(registry, "destination_pending_instances",
                                    "Instances of open sessions that have no outcome yet")),
      pending_bytes_(MakeGauges(registry, "destination_pending_bytes", "Bytes of these instances")),
      sending_sessions_(
          MakeGauges(registry, "destination_sending_sessions",
                     "Open sessions that may be sent: their scan is complete, or they do not wait for it")),
      associations_(MakeGauges(registry, "destination_associations", "Studies that are with a worker now")),
      breaker_open_(MakeGauges(registry, "destination_breaker_open",
                               "1 while the destination is out of reach and tried with one study at a time")) {}

DestinationMetrics::Series& DestinationMetrics::Of(const std::string& destination) {
  const bool known = series_.size() < kDestinationsMax || series_.contains(destination);
  const std::string name = known ? destination : "other";
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
  // Summed up first: nobody may see half of it.
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

LeaderMetrics::LeaderMetrics(Registry& registry)
    : leader(MakeGauge(registry, "leader", "1 while this coordinator leads, 0 while it stands by")) {}

CoordinatorMetrics::CoordinatorMetrics(Registry& registry)
    : instances_total(registry, "instances_total", "Outcomes of instances", "outcome", kOutcomes),
      failures_total(
          registry, "failures_total", "Instances that failed, by what the destination answered or we found", "reason",
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
                                       "How long studies were ready before they were leased", kLong)),
      studies(MakeGauges(registry, "studies", "Studies by state")),
      studies_pending(studies.Add({{"state", "pending"}})),
      studies_delayed(studies.Add({{"state", "delayed"}})),
      studies_leased(studies.Add({{"state", "leased"}})),
      studies_done(studies.Add({{"state", "done"}})),
      leases_expired_total(MakeCounter(registry, "leases_expired_total", "Leases that ran out")),
      late_outcomes_total(MakeCounter(registry, "late_outcomes_total", "Outcomes under a lease no longer in force")),
      resends_total(MakeCounter(registry, "resends_total", "Instances that may have been sent twice")),
      messages_refused_total(
          MakeCounter(registry, "messages_refused_total",
                      "Messages that were malformed, unexpected or of a different protocol version")),
      workers_connected(MakeGauge(registry, "workers_connected", "Workers that were heard of lately")),
      breaker_open(MakeGauge(registry, "breaker_open", "Destinations whose circuit breaker is not closed")),
      last_success_timestamp_seconds(
          MakeGauge(registry, "last_success_timestamp_seconds", "When an instance was last reported stored")),
      ledger_commit_duration_seconds(
          MakeHistogram(registry, "ledger_commit_duration_seconds", "Duration of the ledger's commits", kShort)) {}

void AddBuildInfo(Registry& registry, const std::string& version) {
  prometheus::BuildGauge()
      .Name(Full("build_info"))
      .Help("Always 1; the label says what runs")
      .Register(registry)
      .Add({{"version", version}})
      .Set(1);
}

}  // namespace dicom_sender
