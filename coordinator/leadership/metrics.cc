#include "coordinator/leadership/metrics.h"

#include "common/metrics.h"

namespace dicom_sender {

LeaderMetrics::LeaderMetrics(prometheus::Registry& registry)
    : leader(MakeGauge(registry, "leader", "1 while this coordinator leads, 0 while it stands by")) {}

}  // namespace dicom_sender
