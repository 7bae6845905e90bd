// Finds the files of a session, reads their headers, and publishes the instances to the coordinator by study.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <stop_token>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "common/wake_event.h"
#include "indexer/metrics.h"
#include "transport/coordinator_client.h"

namespace dicom_sender {

struct IndexerOptions {
  std::string session;
  std::string name;                 // unique within the session; see BeginScan in client.proto
  std::vector<std::string> inputs;  // files and folders
  bool recursive = false;
  unsigned threads = 1;
  // Publish after each folder, so that its studies can be sent early; otherwise publish full batches only.
  bool publish_folders = false;
  std::chrono::seconds say_waits_after{30};  // interval of the warnings while the coordinator does not answer
};

// Other threads may read it at any time.
struct IndexerProgress {
  std::atomic<std::uint64_t> files = 0;     // examined
  std::atomic<std::uint64_t> found = 0;     // recognized as DICOM
  std::atomic<std::uint64_t> compared = 0;  // duplicates compared with the files that are sent instead
  WakeEvent begun;                          // raised once the coordinator knows of the scan and waits for its end
  std::atomic<bool> waits = false;          // the coordinator has not answered for say_waits_after
};

// After all files have been found, compares each file that has the SOP Instance UID of another one with the file that
// is to be sent (dicom/file/dataset_difference.h).
//
// Returns when the coordinator has acknowledged that the scan is complete. Files and folders that cannot be used are
// logged and counted, and the scan continues. If the coordinator does not answer, waits without limit, so that a scan
// of hours survives a database outage of minutes during which no coordinator leads. The error is one sentence: either
// the coordinator refused, or a stop was requested. A stopped scan is not complete; it can be repeated, which does
// not change what is already known.
tl::expected<void, std::string> RunIndexer(const IndexerOptions& options, CoordinatorClient& coordinator,
                                           IndexerMetrics& metrics, IndexerProgress& progress, std::stop_token stop);

}  // namespace dicom_sender
