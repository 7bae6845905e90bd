// The options of dicom-sender. All of it is checked here, so that what comes out can be used.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "cli/program_options.h"
#include "common/log.h"

namespace dicom_sender {

enum class DispatchMode { kAfterScan, kAsFound };

struct SenderOptions {
  // Input. The paths exist (not looked at with --resume and --echo).
  std::vector<std::string> inputs;
  bool recursive = false;
  unsigned scan_threads = 1;  // 1 to 64; without the option the number of cores

  // Destination. With --resume the ledger knows it, and what is given here is to be compared; --dry-run needs none.
  std::optional<std::string> called_ae;  // 1 to 16 characters (PS3.5 6.2), without spaces around
  std::optional<std::string> host;
  std::optional<std::uint16_t> port;
  std::optional<std::string> calling_ae;  // unset only with --resume, if it was not given

  // Sending
  unsigned threads = 1;  // 1 to 256
  DispatchMode dispatch = DispatchMode::kAfterScan;
  std::uint32_t max_pdu_bytes = 131072;      // 4096 to 131072
  std::chrono::seconds connect_timeout{10};  // these four: 1 to 3600
  std::chrono::seconds acse_timeout{30};
  std::chrono::seconds dimse_timeout{120};
  std::chrono::seconds idle_timeout{60};
  unsigned attempts_max = 5;                       // 1 to 100
  std::chrono::seconds retry_for{60};              // 0 to 30 days
  std::uint32_t requests_per_association_max = 0;  // 0: no limit

  // Output
  std::string output_dir = ".";  // exists and can be written (not looked at with --echo)
  LogFormat log_format = LogFormat::kText;
  std::optional<std::string> metrics;  // HOST:PORT
  bool verbose = false;

  // Session
  bool echo = false;
  bool dry_run = false;
  std::optional<std::string> resume;  // a UUID, lower case
  bool retry_failed = false;
  bool keep_ledger = false;

  // As Given::where. To say it in messages, and to compare with what a resumed session's ledger has.
  std::map<std::string, std::string, std::less<>> given;
};

// Creates the output folder where it is missing; does nothing else to the machine.
tl::expected<SenderOptions, EarlyExit> ParseOptions(int argc, const char* const* argv,
                                                    const Environment& environment = ProcessEnvironment);

}  // namespace dicom_sender
