#include "programs/sender/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "common/text.h"

namespace dicom_sender {
namespace {

constexpr const char* kProgram = "dicom-sender";

// Accepts a session's ID or the first characters of one. Whether the session exists is checked later.
OptionSetter SetSession(std::optional<std::string>& target) {
  return [&target](const std::string& text) -> Checked {
    std::string id = text;
    std::transform(id.begin(), id.end(), id.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
    const bool is_id =
        !id.empty() && id.size() <= 36 && id.find_first_not_of("0123456789abcdef-") == std::string::npos;
    if (id != kLatest && !is_id) {
      return tl::unexpected(
          fmt::format("'{}' is not a session ID or the first characters of one: 'dicom-sender sessions' "
                      "lists them",
                      ToPrintable(text)));
    }
    target = std::move(id);
    return {};
  };
}

// Scripts for earlier releases give the option.
OptionSetter SetIgnored() {
  return [](const std::string& text) -> Checked {
    bool ignored = false;
    return PutValue(ignored, ParseSwitch(text));
  };
}

std::vector<OptionGroup> Groups(SenderOptions& o) {
  OptionGroup sending = SendingOptions(o);
  sending.options.insert(sending.options.begin(),
                         {'t', "threads", "N", "simultaneous associations, one study each, 1 to 256 (default: 1)",
                          SetNumber(o.threads, 1, 256)});
  return {
      InputOptions(o),
      DestinationOptions(o),
      std::move(sending),
      {"Output",
       {{0, "output-dir", "DIR", "folder for log, summary, failures, and ledger; created if missing (default: .)",
         SetText(o.output_dir)},
        {0, "log-format", "FORMAT", "text or json (default: text)", SetLogFormat(o.log_format)},
        {0, "metrics", "HOST:PORT", "serve Prometheus metrics at /metrics while running", SetAddress(o.metrics)},
        {'v', "verbose", nullptr, "log one line for each instance", SetSwitch(o.verbose)}}},
      {"Session",
       {{0, "dry-run", nullptr,
         "scan, ask the destination (if given) what it accepts, and list what would not arrive; send nothing",
         SetSwitch(o.dry_run)},
        {0, "echo", nullptr, "only send a C-ECHO to the destination; needs -a, -H, and -p", SetSwitch(o.echo)},
        {.letter = 0,
         .name = "resume",
         .value = "SESSION",
         .help =
             "continue an unfinished session in --output-dir: the one whose ID begins with SESSION, or the latest",
         .set = SetSession(o.resume),
         .implied = kLatest},
        {0, "retry-failed", nullptr, "with --resume: also try again what failed", SetSwitch(o.retry_failed)},
        {0, "new", nullptr, "start a new session even if one for the same input and destination is unfinished",
         SetSwitch(o.start_new)},
        {0, "delete-ledger", nullptr, "delete the ledger after a complete success", SetSwitch(o.delete_ledger)},
        {0, "keep-ledger", nullptr, "does nothing, because the ledger is kept anyway; accepted for older scripts",
         SetIgnored()},
        {0, "format", "FORMAT", "text or json (default: text); only with --dry-run and for 'dicom-sender sessions'",
         SetPlanFormat(o.format)}}}};
}

Program Describe(SenderOptions& options) {
  return {.name = kProgram,
          .about =
              "Sends DICOM files to an archive by C-STORE, one association for each study, and reports the\n"
              "archive's response for each instance.\n"
              "\n"
              "  dicom-sender PATH [PATH ...] -a AE -H HOST -p PORT [OPTION ...]\n"
              "  dicom-sender sessions [--output-dir DIR] [--format text|json]\n"
              "\n"
              "Run the same command again to continue an unfinished session. 'sessions' lists the sessions in a\n"
              "folder.\n",
          .groups = Groups(options),
          .epilogue =
              "Examples\n"
              "  dicom-sender --echo -a ARCHIVE -H pacs.example.org -p 104\n"
              "  dicom-sender --dry-run /data/images -r -a ARCHIVE -H pacs.example.org -p 104\n"
              "  dicom-sender /data/images -r -a ARCHIVE -H pacs.example.org -p 104 -t 4\n"
              "\n"
              "Exit status\n"
              "  0  all stored; with --dry-run: nothing stands in the way\n"
              "  1  finished, some instances failed; with --dry-run: something would not arrive\n"
              "  2  wrong usage or unusable input; nothing was sent\n"
              "  3  the destination was unreachable, or refused us; can be resumed\n"
              "  4  interrupted; can be resumed\n"
              "  70 internal error\n"
              "  74 the ledger or the summary cannot be written or is gone; can be resumed\n",
          .words_max = kAnyWords};
}

Checked CheckFolderIsThere(const SenderOptions& options) {
  std::error_code error;
  if (std::filesystem::is_directory(options.output_dir, error)) return {};
  return tl::unexpected(fmt::format("{}: '{}' cannot be used ({}): give the folder that has the ledgers",
                                    WhereGiven(options, "output-dir"), ToPrintable(options.output_dir),
                                    error ? error.message() : "not a folder"));
}

// Options from the environment or a file may be meant for the runs that send.
Checked CheckSessions(const SenderOptions& options) {
  for (const auto& [name, where] : options.given) {
    if (!where.starts_with("--") || name == "output-dir" || name == "format" || name == "config") continue;
    return tl::unexpected(fmt::format("{} does not go with 'sessions': give --output-dir and --format only", where));
  }
  return CheckFolderIsThere(options);
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
  if (options.given.contains("format") && !options.dry_run && !options.list_sessions) {
    return tl::unexpected(
        fmt::format("{} is only for --dry-run and 'dicom-sender sessions'", options.given.at("format")));
  }
  if (options.retry_failed && !options.resume) {
    return tl::unexpected(
        fmt::format("{} is only for a resumed session: add --resume, with its ID if it is not "
                    "the latest one",
                    options.given.at("retry-failed")));
  }
  if (options.start_new && options.resume) {
    return tl::unexpected(
        fmt::format("{} does not go with {}: give one of them", options.given.at("new"), options.given.at("resume")));
  }
  return {};
}

// For a resumed session, the other options come from the ledger.
Checked CheckComplete(const SenderOptions& options) {
  if (options.resume) return {};
  const bool has_destination = options.called_ae || options.host || options.port;
  return CheckRequired(kProgram, options,
                       {.inputs = !options.echo, .destination = !options.dry_run || has_destination});
}

Checked CheckFiles(const SenderOptions& options) {
  if (options.echo) return {};
  // The ledger of a resumed session exists already. Opening it will show whether it is writable.
  if (options.resume) return CheckFolderIsThere(options);
  if (auto usable = CheckInputs(options); !usable) return usable;
  const auto usable = PrepareOutputFolder(options.output_dir, /*create=*/true);
  if (usable) return {};
  return tl::unexpected(fmt::format("{}: {}", WhereGiven(options, "output-dir"), usable.error()));
}

}  // namespace

tl::expected<SenderOptions, EarlyExit> ParseOptions(int argc, const char* const* argv,
                                                    const Environment& environment) {
  SenderOptions options;
  // `sessions` is the command; a folder of that name must be given as "./sessions".
  std::vector<const char*> arguments(argv, argv + argc);
  options.list_sessions = argc > 1 && std::string_view(argv[1]) == "sessions";
  if (options.list_sessions) arguments.erase(arguments.begin() + 1);
  auto given = ParseProgram(Describe(options), static_cast<int>(arguments.size()), arguments.data(), environment);
  if (!given) return tl::unexpected(std::move(given.error()));
  TakeGiven(*std::move(given), options);
  const std::vector<Checked (*)(const SenderOptions&)> checks =
      options.list_sessions ? std::vector{CheckSessions} : std::vector{CheckCombination, CheckComplete, CheckFiles};
  for (const auto check : checks) {
    if (const auto checked = check(options); !checked) return UsageError(kProgram, checked.error());
  }
  if (!options.resume && !options.calling_ae) options.calling_ae = kDefaultCallingAe;
  return options;
}

}  // namespace dicom_sender
