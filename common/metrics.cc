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
Histogram& MakeHistogram(Registry& registry, const std::string& name, const std::string& help,
                         const Histogram::BucketBoundaries& bounds) {
  return prometheus::BuildHistogram().Name(Full(name)).Help(help).Register(registry).Add({}, bounds);
}

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
    : bytes_sent_total(MakeCounter(registry, "bytes_sent_total", "Bytes handed to the network")),
      cstore_duration_seconds(MakeHistogram(registry, "cstore_duration_seconds",
                                            "From the first byte of a C-STORE request to its response", kShort)),
      study_duration_seconds(
          MakeHistogram(registry, "study_duration_seconds", "From a study's lease to its give-back", kLong)),
      associations_active(MakeGauge(registry, "associations_active", "Associations that are open now")),
      association_failures_total(registry, "association_failures_total", "Associations that failed or were lost",
                                 "reason",
                                 {"resolve", "refused", "unreachable", "timeout", "rejected_permanent",
                                  "rejected_transient", "aborted", "connection_lost", "protocol_error"}) {}

CoordinatorMetrics::CoordinatorMetrics(Registry& registry)
    : instances_total(registry, "instances_total", "Outcomes of instances", "outcome",
                      {"stored", "stored_with_warning", "failed", "skipped", "delayed"}),
      queue_wait_seconds(MakeHistogram(registry, "queue_wait_seconds",
                                       "How long studies were ready before they were leased", kLong)),
      studies(prometheus::BuildGauge().Name(Full("studies")).Help("Studies by state").Register(registry)),
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
