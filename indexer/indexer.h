// Finds the files of a session and publishes what they are to the coordinator, study by study.
#pragma once

#include <atomic>
#include <cstdint>
#include <stop_token>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "common/metrics.h"
#include "proto/coordinator_client.h"

namespace dicom_sender {

struct IndexerOptions {
  std::string session;
  std::string name;                 // within the session, see BeginScan in client.proto
  std::vector<std::string> inputs;  // files and folders
  bool recursive = false;
  unsigned threads = 1;
  // Publish whenever a folder has been read, so that its studies can be sent; otherwise only full batches.
  bool publish_folders = false;
};

// To be looked at from other threads.
struct IndexerProgress {
  std::atomic<std::uint64_t> files = 0;  // looked at
  std::atomic<std::uint64_t> found = 0;  // of these, recognised as DICOM
};

// Returns when the coordinator has acknowledged that the scan is complete. Files and folders that cannot be used are
// logged and counted and stop nothing. The error is one sentence: the coordinator refused or did not answer, or a
// stop was requested (then the scan is not complete, and can be run again: it changes nothing that is known).
tl::expected<void, std::string> RunIndexer(const IndexerOptions& options, CoordinatorClient& coordinator,
                                           IndexerMetrics& metrics, IndexerProgress& progress, std::stop_token stop);

}  // namespace dicom_sender
