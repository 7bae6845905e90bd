#include "session/session_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "proto/limits.h"

namespace dicom_sender {

unsigned DefaultScanThreads() { return std::clamp(std::thread::hardware_concurrency(), 1U, 64U); }

OptionGroup InputOptions(SessionOptions& o) {
  return {"Input",
          {{'i', "input", "PATH", "file or folder to send; repeat it for several, or give paths without it",
            AddText(o.inputs), true},
           {'r', "recursive", nullptr, "include subfolders", SetSwitch(o.recursive)},
           {0, "scan-threads", "N", "threads that read file headers, 1 to 64 (default: number of cores)",
            SetNumber(o.scan_threads, 1, 64)}}};
}

OptionGroup DestinationOptions(SessionOptions& o) {
  return {"Destination",
          {{'a', "ae-title", "AE", "AE title of the destination", SetAeTitle(o.called_ae)},
           {'H', "host", "HOST", "host name or address of the destination", SetHost(o.host)},
           {'p', "port", "PORT", "port of the destination", SetPort(o.port)},
           {'c', "calling-ae", "AE", "calling AE title (default: RUST_SCU)", SetAeTitle(o.calling_ae)}}};
}

OptionGroup SendingOptions(SessionOptions& o) {
  return {
      "Sending",
      {{0, "dispatch", "MODE",
        "after-scan: send when everything is found; as-found: send while still scanning (default: after-scan)",
        SetChoice<DispatchMode>(o.dispatch,
                                {{"after-scan", DispatchMode::kAfterScan}, {"as-found", DispatchMode::kAsFound}})},
       {0, "max-attempts", "N", "attempts for one instance, 1 to 100 (default: 5)",
        SetNumber(o.attempts_max, 1, 100)},
       {0, "retry-for", "TIME",
        "how long the destination may be unreachable before the session gives up: 90, 90s, 10m, 1h30m, at most 30d "
        "(default: 1m until it has answered a C-STORE of the session, then 6h)",
        SetSpan(o.retry_for)},
       {0, "max-requests-per-association", "N", "instances per association; 0: no limit (default: 0)",
        SetNumber(o.requests_per_association_max, 0, 1'000'000'000)},
       {0, "async-window", "N",
        "instances in flight without a response, if the destination agrees, 1 to 128; 1: propose no window "
        "(default: 16)",
        SetNumber(o.async_window, 1, kAsyncWindowMax)},
       {0, "max-pdu", "SIZE", "longest PDU, 4K to 128K; the destination's own limit is honored (default: 128K)",
        SetSize(o.max_pdu_bytes, kPduBytesMin, kPduBytesMax)},
       {0, "connect-timeout", "TIME",
        "to look up the host and connect to it, 1s to 1h like those below (default: 10s)",
        SetTimeout(o.connect_timeout)},
       {0, "acse-timeout", "TIME", "for the response to an association request or release (default: 30s)",
        SetTimeout(o.acse_timeout)},
       {0, "dimse-timeout", "TIME", "for the response to a C-STORE (default: 2m)", SetTimeout(o.dimse_timeout)},
       {0, "idle-timeout", "TIME", "without progress while an instance is sent (default: 1m)",
        SetTimeout(o.idle_timeout)}}};
  // The analyzer loses track of functions in an initializer list.
}  // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks)

void TakeGiven(Given given, SessionOptions& options) {
  options.given = std::move(given.where);
  if (given.words.empty()) return;
  const auto where = options.given.find("input");
  if (where != options.given.end() && where->second != "--input") options.inputs.clear();
  options.given["input"] = "--input";
  options.inputs.insert(options.inputs.end(), given.words.begin(), given.words.end());
}

std::string WhereGiven(const SessionOptions& options, const std::string& name) {
  const auto given = options.given.find(name);
  return given != options.given.end() ? given->second : "--" + name;
}

Checked CheckRequired(std::string_view program_name, const SessionOptions& options, const RequiredOptions& required) {
  std::vector<std::string> missing;
  const auto require = [&](const char* option, bool is_there) {
    if (!is_there) missing.emplace_back(option);
  };
  if (required.inputs) require("-i/--input", !options.inputs.empty());
  if (required.destination) {
    require("-a/--ae-title", options.called_ae.has_value());
    require("-H/--host", options.host.has_value());
    require("-p/--port", options.port.has_value());
  }
  if (missing.empty()) return {};
  return tl::unexpected(fmt::format("{} {} missing: see '{} --help' for examples", fmt::join(missing, ", "),
                                    missing.size() == 1 ? "is" : "are", program_name));
}

Checked CheckInputs(const SessionOptions& options) {
  for (const std::string& input : options.inputs) {
    if (const auto usable = CheckInput(input); !usable) {
      return tl::unexpected(fmt::format("{}: {}", WhereGiven(options, "input"), usable.error()));
    }
  }
  return {};
}

}  // namespace dicom_sender
