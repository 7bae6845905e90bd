// Finds the files of a session and publishes what they are to the coordinator, study by study.
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
  std::string name;                 // within the session, see BeginScan in client.proto
  std::vector<std::string> inputs;  // files and folders
  bool recursive = false;
  unsigned threads = 1;
  // Publish whenever a folder has been read, so that its studies can be sent; otherwise only full batches.
  bool publish_folders = false;
  std::chrono::seconds say_waits_after{30};  // in the log, again and again, while the coordinator does not answer
};

// To be looked at from other threads.
struct IndexerProgress {
  std::atomic<std::uint64_t> files = 0;     // looked at
  std::atomic<std::uint64_t> found = 0;     // of these, recognised as DICOM
  std::atomic<std::uint64_t> compared = 0;  // copies, with the files that are sent in their place
  WakeEvent begun;                          // raised once the coordinator knows of the scan: it waits for its end
  std::atomic<bool> waits = false;          // for the coordinator, which has not answered for say_waits_after
};

// Files with the same SOP Instance UID are compared once all are found (dicom/file/dataset_difference.h), each copy
// with the file that is to be sent.
//
// Returns when the coordinator has acknowledged that the scan is complete. Files and folders that cannot be used are
// logged and counted and stop nothing. A coordinator that does not answer is waited for without end: a scan of hours
// is not given up because a database is away for some minutes and nobody leads. The error is one sentence: the
// coordinator refused, or a stop was requested (then the scan is not complete, and can be run again: it changes
// nothing that is known).
tl::expected<void, std::string> RunIndexer(const IndexerOptions& options, CoordinatorClient& coordinator,
                                           IndexerMetrics& metrics, IndexerProgress& progress, std::stop_token stop);

}  // namespace dicom_sender
