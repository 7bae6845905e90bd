// The options of dicom-indexer. All of it is checked here, so that what comes out can be used.
#pragma once

#include <optional>
#include <string>

#include "cli/service_options.h"
#include "preflight/report.h"
#include "session/connection_options.h"
#include "session/session_options.h"

namespace dicom_sender {

// With --session the coordinator knows whereto and how: only the input is given.
struct IndexerProgramOptions : SessionOptions {
  ConnectionOptions connection;
  std::optional<std::string> session;  // a UUID, lower case
  bool wait = false;
  bool dry_run = false;                   // no coordinator is needed, and the destination is optional
  PlanFormat format = PlanFormat::kText;  // of the dry run
  ServiceOptions service;
};

tl::expected<IndexerProgramOptions, EarlyExit> ParseIndexerOptions(
    int argc, const char* const* argv, const Environment& environment = ProcessEnvironment);

}  // namespace dicom_sender
