// The metrics of an indexer. Every known series starts at 0.
#pragma once

#include <prometheus/registry.h>

#include "common/metrics.h"

namespace dicom_sender {

struct IndexerMetrics {
  explicit IndexerMetrics(prometheus::Registry& registry);
  LabelledCounters indexed_files_total;  // by result
};

}  // namespace dicom_sender
