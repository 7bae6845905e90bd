// The command line of dicom-ctl. The parser checks all of it, so that the program can rely on it.
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
  std::string subject;  // a session's UUID, or a worker's or a key's name; empty if the command takes none
  ConnectionOptions connection;
  CtlFormat format = CtlFormat::kTable;
  std::chrono::seconds timeout{10};
  std::optional<std::uint16_t> status;  // requeue only
  std::optional<std::string> study;     // requeue only
  std::optional<std::string> reason;    // requeue only
  std::optional<std::string> worker;    // requeue only
  bool retry_failed = false;            // resume only
  std::string output_dir = ".";         // keygen only
};

tl::expected<CtlOptions, EarlyExit> ParseCtlOptions(int argc, const char* const* argv,
                                                    const Environment& environment = ProcessEnvironment);

}  // namespace dicom_sender
