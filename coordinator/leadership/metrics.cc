#include "coordinator/leadership/metrics.h"

#include "common/metrics.h"

namespace dicom_sender {

LeaderMetrics::LeaderMetrics(prometheus::Registry& registry)
    : leader(MakeGauge(registry, "leader", "1 while this coordinator is the leader, 0 while it is a standby")) {}

}  // namespace dicom_sender
