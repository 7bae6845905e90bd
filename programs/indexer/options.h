// The options of dicom-indexer. The parser checks all of them, so that the program can rely on them.
#pragma once

#include <optional>
#include <string>

#include "cli/service_options.h"
#include "preflight/report.h"
#include "session/connection_options.h"
#include "session/session_options.h"

namespace dicom_sender {

// With --session, the coordinator already has the destination and the send options, and only the input is given.
struct IndexerProgramOptions : SessionOptions {
  ConnectionOptions connection;
  std::optional<std::string> session;  // a UUID, lower case
  bool wait = false;
  bool dry_run = false;                   // needs no coordinator; the destination is optional
  PlanFormat format = PlanFormat::kText;  // dry run only
  ServiceOptions service;
};

tl::expected<IndexerProgramOptions, EarlyExit> ParseIndexerOptions(
    int argc, const char* const* argv, const Environment& environment = ProcessEnvironment);

}  // namespace dicom_sender
