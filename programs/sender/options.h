// The options of dicom-sender. All of it is checked here, so that what comes out can be used.
#pragma once

#include <optional>
#include <string>
#include <tl/expected.hpp>

#include "cli/program_options.h"
#include "common/log.h"
#include "preflight/report.h"
#include "session/session_options.h"

namespace dicom_sender {

// With --resume, --echo, and `sessions` the inputs are not looked at. With --resume the ledger knows the destination,
// and what is given here is to be compared; calling_ae is then unset if it was not given. --dry-run needs no
// destination.
struct SenderOptions : SessionOptions {
  unsigned threads = 1;  // 1 to 256

  // Output
  std::string output_dir = ".";  // exists and can be written (not looked at with --echo)
  LogFormat log_format = LogFormat::kText;
  std::optional<std::string> metrics;  // HOST:PORT
  bool verbose = false;

  // Session
  bool echo = false;
  bool dry_run = false;
  // A session's UUID, or the front of one, in lower case, or kLatest.
  std::optional<std::string> resume;
  PlanFormat format = PlanFormat::kText;  // of the dry run, and of `dicom-sender sessions`
  bool retry_failed = false;
  bool start_new = false;  // whatever is unfinished
  bool delete_ledger = false;
  bool list_sessions = false;  // `dicom-sender sessions`
};

inline constexpr const char* kLatest = "latest";

// Creates the output folder where it is missing; does nothing else to the machine.
tl::expected<SenderOptions, EarlyExit> ParseOptions(int argc, const char* const* argv,
                                                    const Environment& environment = ProcessEnvironment);

}  // namespace dicom_sender
