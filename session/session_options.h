// The options of a session, shared by the programs that open one: what to send, where, and how. Each program adds
// them to the table of its own options.
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
  // Input. The paths exist if CheckInputs has succeeded.
  std::vector<std::string> inputs;
  bool recursive = false;
  unsigned scan_threads = DefaultScanThreads();  // 1 to 64

  // Destination
  std::optional<std::string> called_ae;  // 1 to 16 characters (PS3.5 6.2), without leading and trailing spaces
  std::optional<std::string> host;
  std::optional<std::uint16_t> port;
  std::optional<std::string> calling_ae;

  // Sending
  DispatchMode dispatch = DispatchMode::kAfterScan;
  std::uint32_t max_pdu_bytes = kPduBytesMax;
  std::chrono::seconds connect_timeout{10};  // these four: 1 s to 1 h
  std::chrono::seconds acse_timeout{30};
  std::chrono::seconds dimse_timeout{120};
  std::chrono::seconds idle_timeout{60};
  unsigned attempts_max = 5;                       // 1 to 100
  std::optional<std::chrono::seconds> retry_for;   // 0 to 30 days; nullopt: the coordinator's default
  std::uint32_t requests_per_association_max = 0;  // 0: no limit
  std::uint32_t async_window = 16;                 // 1 to kAsyncWindowMax

  // A copy of Given::where. Messages use it, and so does the comparison with the settings of a resumed session.
  std::map<std::string, std::string, std::less<>> given;
};

// The calling AE title of a new session if none is given. It is that of the older tool, because destinations identify
// their callers by it.
inline constexpr const char* kDefaultCallingAe = "RUST_SCU";

OptionGroup InputOptions(SessionOptions& options);
OptionGroup DestinationOptions(SessionOptions& options);
OptionGroup SendingOptions(SessionOptions& options);

// Adds positional arguments to the inputs. Like --input on the command line, they take precedence over the
// environment and the file. Also stores Given::where.
void TakeGiven(Given given, SessionOptions& options);

// Returns where the option was given, or "--input" for example if it was not given. For messages.
std::string WhereGiven(const SessionOptions& options, const std::string& name);

struct RequiredOptions {
  bool inputs = true;
  bool destination = true;
};
// The error names all missing options.
Checked CheckRequired(std::string_view program_name, const SessionOptions& options, const RequiredOptions& required);

// The error names the first input that does not exist or cannot be read.
Checked CheckInputs(const SessionOptions& options);

}  // namespace dicom_sender
