// What has to be said about a session, by whichever program opens it: what to send, to whom and how. Each program
// puts these options into its table, beside those of its own.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/program_options.h"
#include "dicom/limits.h"

namespace dicom_sender {

enum class DispatchMode { kAfterScan, kAsFound };

unsigned DefaultScanThreads();  // the number of cores, 1 to 64

struct SessionOptions {
  // Input. The paths exist once CheckInputs has been asked.
  std::vector<std::string> inputs;
  bool recursive = false;
  unsigned scan_threads = DefaultScanThreads();  // 1 to 64

  // Destination
  std::optional<std::string> called_ae;  // 1 to 16 characters (PS3.5 6.2), without spaces around
  std::optional<std::string> host;
  std::optional<std::uint16_t> port;
  std::optional<std::string> calling_ae;

  // Sending
  DispatchMode dispatch = DispatchMode::kAfterScan;
  std::uint32_t max_pdu_bytes = kPduBytesMax;
  std::chrono::seconds connect_timeout{10};  // these four: 1 to 3600
  std::chrono::seconds acse_timeout{30};
  std::chrono::seconds dimse_timeout{120};
  std::chrono::seconds idle_timeout{60};
  unsigned attempts_max = 5;                       // 1 to 100
  std::optional<std::chrono::seconds> retry_for;   // 0 to 30 days; none: as the coordinator does by default
  std::uint32_t requests_per_association_max = 0;  // 0: no limit
  std::uint32_t async_window = 16;                 // 1 to kAsyncWindowMax

  // As Given::where, to be taken over by the program. To say it in messages, and to compare with what is known of a
  // session that goes on.
  std::map<std::string, std::string, std::less<>> given;
};

// The calling AE title of a new session if none is given: that of the older tool, because destinations know their
// callers by it.
inline constexpr const char* kDefaultCallingAe = "RUST_SCU";

OptionGroup InputOptions(SessionOptions& options);
OptionGroup DestinationOptions(SessionOptions& options);
OptionGroup SendingOptions(SessionOptions& options);

// Paths that belong to no option are inputs as well. On the command line, they too win over the environment and the
// file. Takes Given::where over, too.
void TakeGiven(Given given, SessionOptions& options);

// Where the option was given, for messages; "--input" if it was not.
std::string WhereGiven(const SessionOptions& options, const std::string& name);

struct RequiredOptions {
  bool inputs = true;
  bool destination = true;
};
// The error names all that are missing.
Checked CheckRequired(std::string_view program_name, const SessionOptions& options, const RequiredOptions& required);

// The error names the first input that is not there or cannot be read.
Checked CheckInputs(const SessionOptions& options);

}  // namespace dicom_sender
