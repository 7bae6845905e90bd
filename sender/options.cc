#include "sender/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

namespace dicom_sender {
namespace {

constexpr const char* kProgram = "dicom-sender";
constexpr const char* kDefaultCallingAe = "RUST_SCU";  // of the older tool: destinations know their callers by it

std::vector<OptionGroup> Groups(SenderOptions& o) {
  return {
      {"Input",
       {{'i', "input", "PATH", "file or folder to send; repeat it for several", AddText(o.inputs), true},
        {'r', "recursive", nullptr, "enter sub-folders", SetSwitch(o.recursive)},
        {0, "scan-threads", "N", "threads that read file headers, 1 to 64 (default: number of cores)",
         SetNumber(o.scan_threads, 1, 64)}}},
      {"Destination",
       {{'a', "ae-title", "AE", "AE title of the destination", SetAeTitle(o.called_ae)},
        {'H', "host", "HOST", "its host name or address", SetHost(o.host)},
        {'p', "port", "PORT", "its port", SetPort(o.port)},
        {'c', "calling-ae", "AE", "AE title that we call ourselves (default: RUST_SCU)", SetAeTitle(o.calling_ae)}}},
      {"Sending",
       {{'t', "threads", "N", "associations at the same time, one study each, 1 to 256 (default: 1)",
         SetNumber(o.threads, 1, 256)},
        {0, "dispatch", "MODE",
         "after-scan: send when everything is found; as-found: while still searching (default: after-scan)",
         SetChoice<DispatchMode>(o.dispatch,
                                 {{"after-scan", DispatchMode::kAfterScan}, {"as-found", DispatchMode::kAsFound}})},
        {0, "max-attempts", "N", "attempts for one instance, 1 to 100 (default: 5)",
         SetNumber(o.attempts_max, 1, 100)},
        {0, "retry-for", "TIME",
         "how long the destination may be out of reach before we give up: seconds, or 10m, 6h, 2d (default: 60)",
         SetSpan(o.retry_for)},
        {0, "max-requests-per-association", "N", "instances over one association; 0: no limit (default: 0)",
         SetNumber(o.requests_per_association_max, 0, 1'000'000'000)},
        {0, "max-pdu", "BYTES",
         "longest PDU, 4096 to 131072; the destination's own limit is obeyed (default: 131072)",
         SetNumber(o.max_pdu_bytes, 4096, 131072)},
        {0, "connect-timeout", "SECONDS", "for the TCP connection (default: 10)", SetTimeout(o.connect_timeout)},
        {0, "acse-timeout", "SECONDS", "for the answer to an association request or release (default: 30)",
         SetTimeout(o.acse_timeout)},
        {0, "dimse-timeout", "SECONDS", "for the answer to a C-STORE (default: 120)", SetTimeout(o.dimse_timeout)},
        {0, "idle-timeout", "SECONDS", "without progress while an instance is sent (default: 60)",
         SetTimeout(o.idle_timeout)}}},
      {"Output",
       {{0, "output-dir", "DIR", "for log, summary, failures and ledger; created if missing (default: .)",
         SetText(o.output_dir)},
        {0, "log-format", "FORMAT", "text or json (default: text)", SetLogFormat(o.log_format)},
        {0, "metrics", "HOST:PORT", "serve Prometheus metrics at /metrics while running", SetAddress(o.metrics)},
        {'v', "verbose", nullptr, "one line for each instance", SetSwitch(o.verbose)}}},
      {"Session",
       {{0, "dry-run", nullptr, "only find and group the files; needs --input alone", SetSwitch(o.dry_run)},
        {0, "echo", nullptr, "only C-ECHO the destination; needs -a, -H and -p", SetSwitch(o.echo)},
        {0, "resume", "SESSION", "go on with an interrupted session; its ledger is in --output-dir",
         SetUuid(o.resume)},
        {0, "retry-failed", nullptr, "with --resume: try again what failed, too", SetSwitch(o.retry_failed)},
        {0, "keep-ledger", nullptr, "keep the ledger after a complete success", SetSwitch(o.keep_ledger)}}}};
}

Program Describe(SenderOptions& options) {
  return {.name = kProgram,
          .about =
              "Sends DICOM files to an archive by C-STORE, one association for each study, and reports what the\n"
              "archive answered for each instance.\n"
              "\n"
              "  dicom-sender -i PATH [-i PATH ...] -a AE -H HOST -p PORT [OPTION ...]\n",
          .groups = Groups(options),
          .epilogue =
              "Examples\n"
              "  dicom-sender --echo -a ARCHIVE -H pacs.example.org -p 104\n"
              "  dicom-sender -i /data/images -r -a ARCHIVE -H pacs.example.org -p 104 -t 4 --retry-for 6h\n"
              "\n"
              "Exit status\n"
              "  0  all stored\n"
              "  1  finished, some instances failed\n"
              "  2  wrong usage or unusable input; nothing was sent\n"
              "  3  the destination was out of reach, or refuses us; can be resumed\n"
              "  4  interrupted; can be resumed\n"
              "  70 internal error\n",
          .stray_word_advice = "name each input by -i of its own"};
}

Checked CheckCombination(const SenderOptions& options) {
  const std::vector<std::pair<const char*, bool>> modes = {
      {"echo", options.echo}, {"dry-run", options.dry_run}, {"resume", options.resume.has_value()}};
  std::vector<std::string> chosen;
  for (const auto& [name, is_on] : modes) {
    if (is_on) chosen.push_back(options.given.at(name));
  }
  if (chosen.size() > 1)
    return tl::unexpected(fmt::format("{} does not go with {}: give one of them", chosen[1], chosen[0]));
  if (options.retry_failed && !options.resume) {
    return tl::unexpected(fmt::format("{} is only for a session that goes on: give its id by --resume",
                                      options.given.at("retry-failed")));
  }
  return {};
}

Checked CheckRequired(const SenderOptions& options) {
  if (options.resume) return {};
  std::vector<std::string> missing;
  const auto require = [&](const char* option, bool is_there) {
    if (!is_there) missing.emplace_back(option);
  };
  if (!options.echo) require("-i/--input", !options.inputs.empty());
  if (!options.dry_run) {
    require("-a/--ae-title", options.called_ae.has_value());
    require("-H/--host", options.host.has_value());
    require("-p/--port", options.port.has_value());
  }
  if (missing.empty()) return {};
  return tl::unexpected(fmt::format("{} {} missing: see 'dicom-sender --help' for examples", fmt::join(missing, ", "),
                                    missing.size() == 1 ? "is" : "are"));
}

Checked CheckFiles(const SenderOptions& options) {
  const auto named = [&](const char* name, std::string error) {
    const auto given = options.given.find(name);
    return tl::unexpected(
        fmt::format("{}: {}", given != options.given.end() ? given->second : fmt::format("--{}", name), error));
  };
  if (options.echo) return {};
  if (!options.resume) {
    for (const std::string& input : options.inputs) {
      if (auto usable = CheckInput(input); !usable) return named("input", usable.error());
    }
  }
  // The ledger of a session that goes on is there already: a folder that is not must be a slip.
  auto usable = PrepareOutputFolder(options.output_dir, !options.resume);
  return usable ? usable : named("output-dir", usable.error());
}

}  // namespace

tl::expected<SenderOptions, EarlyExit> ParseOptions(int argc, const char* const* argv,
                                                    const Environment& environment) {
  SenderOptions options;
  options.scan_threads = std::clamp(std::thread::hardware_concurrency(), 1U, 64U);
  auto given = ParseProgram(Describe(options), argc, argv, environment);
  if (!given) return tl::unexpected(std::move(given.error()));
  options.given = std::move(given->where);
  for (const auto check : {CheckCombination, CheckRequired, CheckFiles}) {
    if (const auto checked = check(options); !checked) return UsageError(kProgram, checked.error());
  }
  if (!options.resume && !options.calling_ae) options.calling_ae = kDefaultCallingAe;
  return options;
}

}  // namespace dicom_sender
