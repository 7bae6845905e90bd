// The options of dicom-worker. The parser checks all of them, so that the program can rely on them.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "cli/service_options.h"
#include "session/connection_options.h"
#include "worker/loop/path_map.h"

namespace dicom_sender {

struct WorkerProgramOptions {
  ConnectionOptions connection;
  unsigned threads = 1;  // 1 to 256
  PathMap path_map;
  std::optional<std::string> worker_id;   // 1 to 255 bytes
  std::chrono::seconds grace_period{60};  // 0 to 30 days
  ServiceOptions service;
};

tl::expected<WorkerProgramOptions, EarlyExit> ParseWorkerOptions(int argc, const char* const* argv,
                                                                 const Environment& environment = ProcessEnvironment);

}  // namespace dicom_sender
