#include "indexer/metrics.h"

namespace dicom_sender {

IndexerMetrics::IndexerMetrics(prometheus::Registry& registry)
    : indexed_files_total(
          registry, "indexed_files_total", "Files that the scan examined", "result",
          {"indexed", "broken", "not_dicom", "empty", "unreadable", "unreadable_folder", "dicomdir"}) {}

}  // namespace dicom_sender
