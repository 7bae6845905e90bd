// The command line of dicom-ctl. Checked here, so that what comes out can be used.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "session/connection_options.h"

namespace dicom_sender {

enum class CtlCommand {
  kSessions,
  kShow,
  kSummary,
  kFailures,
  kWorkers,
  kDestinations,
  kPause,
  kResume,
  kCancel,
  kRequeue,
  kDrain,
  kKeygen,
};

enum class CtlFormat { kTable, kJson };

struct CtlOptions {
  CtlCommand command = CtlCommand::kSessions;
  std::string subject;  // of those that need one: a session's UUID, a worker's or a key's name
  ConnectionOptions connection;
  CtlFormat format = CtlFormat::kTable;
  std::chrono::seconds timeout{10};
  std::optional<std::uint16_t> status;  // of requeue
  std::optional<std::string> study;     // the same
  std::optional<std::string> reason;    // the same
  std::optional<std::string> worker;    // the same
  bool retry_failed = false;            // of resume
  std::string output_dir = ".";         // of keygen
};

tl::expected<CtlOptions, EarlyExit> ParseCtlOptions(int argc, const char* const* argv,
                                                    const Environment& environment = ProcessEnvironment);

}  // namespace dicom_sender
