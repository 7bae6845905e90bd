#include "worker/metrics.h"

namespace dicom_sender {

WorkerMetrics::WorkerMetrics(prometheus::Registry& registry)
    : threads(MakeGauge(registry, "threads", "Maximum number of simultaneous associations of the worker")),
      thread_seconds_total(MakeCounters(
          registry, "thread_seconds_total",
          "Time that the threads spent, by activity: opening and releasing associations; opening and reading "
          "files and handing them to the kernel (storage); waiting for the network or the destination to take "
          "more data (transfer); waiting for the response to a C-STORE (response); decoding")),
      association_seconds(thread_seconds_total.Add({{"activity", "association"}})),
      storage_seconds(thread_seconds_total.Add({{"activity", "storage"}})),
      transfer_seconds(thread_seconds_total.Add({{"activity", "transfer"}})),
      response_seconds(thread_seconds_total.Add({{"activity", "response"}})),
      decode_seconds(thread_seconds_total.Add({{"activity", "decode"}})),
      bytes_sent_total(MakeCounter(registry, "bytes_sent_total", "Bytes handed to the network")),
      cstore_duration_seconds(MakeHistogram(registry, "cstore_duration_seconds",
                                            "From the first byte of a C-STORE request to its response",
                                            kShortDurations)),
      study_duration_seconds(
          MakeHistogram(registry, "study_duration_seconds", "From a study's lease to its give-back", kLongDurations)),
      associations_active(MakeGauge(registry, "associations_active", "Associations that are open now")),
      association_failures_total(registry, "association_failures_total", "Associations that failed or were lost",
                                 "reason",
                                 {"resolve", "refused", "unreachable", "timeout", "rejected_permanent",
                                  "rejected_transient", "aborted", "connection_lost", "protocol_error"}) {}

}  // namespace dicom_sender
