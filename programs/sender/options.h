// The options of dicom-sender. The parser checks all of them, so that the program can rely on them.
#pragma once

#include <optional>
#include <string>
#include <tl/expected.hpp>

#include "cli/program_options.h"
#include "common/log.h"
#include "preflight/report.h"
#include "session/session_options.h"

namespace dicom_sender {

// --resume, --echo, and `sessions` ignore the inputs. With --resume, the destination comes from the ledger, and the
// options given here are only compared with it; calling_ae stays unset unless it was given. --dry-run needs no
// destination.
struct SenderOptions : SessionOptions {
  unsigned threads = 1;  // 1 to 256

  // Output
  std::string output_dir = ".";  // exists and is writable (not checked with --echo)
  LogFormat log_format = LogFormat::kText;
  std::optional<std::string> metrics;  // HOST:PORT
  bool verbose = false;

  // Session
  bool echo = false;
  bool dry_run = false;
  // A session's UUID or the first characters of one, in lower case, or kLatest.
  std::optional<std::string> resume;
  PlanFormat format = PlanFormat::kText;  // dry run and `dicom-sender sessions` only
  bool retry_failed = false;
  bool start_new = false;  // even if an unfinished session exists
  bool delete_ledger = false;
  bool list_sessions = false;  // `dicom-sender sessions`
};

inline constexpr const char* kLatest = "latest";

// Creates the output folder if it is missing; has no other side effects.
tl::expected<SenderOptions, EarlyExit> ParseOptions(int argc, const char* const* argv,
                                                    const Environment& environment = ProcessEnvironment);

}  // namespace dicom_sender
