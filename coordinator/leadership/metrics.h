// The metric of each dicom-coordinator, leader or standby.
#pragma once

#include <prometheus/gauge.h>
#include <prometheus/registry.h>

namespace dicom_sender {

struct LeaderMetrics {
  explicit LeaderMetrics(prometheus::Registry& registry);
  prometheus::Gauge& leader;
};

}  // namespace dicom_sender
