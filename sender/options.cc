#include "sender/options.h"

#include <fmt/format.h>

#include <utility>

namespace dicom_sender {
namespace {

constexpr const char* kProgram = "dicom-sender";

std::vector<OptionGroup> Groups(SenderOptions& o) {
  OptionGroup sending = SendingOptions(o);
  sending.options.insert(sending.options.begin(),
                         {'t', "threads", "N", "associations at the same time, one study each, 1 to 256 (default: 1)",
                          SetNumber(o.threads, 1, 256)});
  return {InputOptions(o),
          DestinationOptions(o),
          std::move(sending),
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
              "  dicom-sender PATH [PATH ...] -a AE -H HOST -p PORT [OPTION ...]\n",
          .groups = Groups(options),
          .epilogue =
              "Examples\n"
              "  dicom-sender --echo -a ARCHIVE -H pacs.example.org -p 104\n"
              "  dicom-sender /data/images -r -a ARCHIVE -H pacs.example.org -p 104 -t 4 --retry-for 6h\n"
              "\n"
              "Exit status\n"
              "  0  all stored\n"
              "  1  finished, some instances failed\n"
              "  2  wrong usage or unusable input; nothing was sent\n"
              "  3  the destination was out of reach, or refuses us; can be resumed\n"
              "  4  interrupted; can be resumed\n"
              "  70 internal error\n"
              "  74 the ledger or the summary cannot be written or is gone; can be resumed\n",
          .words_max = kAnyWords};
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

// Of a session that goes on, the ledger knows the rest.
Checked CheckComplete(const SenderOptions& options) {
  if (options.resume) return {};
  return CheckRequired(kProgram, options, {.inputs = !options.echo, .destination = !options.dry_run});
}

Checked CheckFiles(const SenderOptions& options) {
  if (options.echo) return {};
  if (!options.resume) {
    if (auto usable = CheckInputs(options); !usable) return usable;
  }
  // The ledger of a session that goes on is there already: a folder that is not must be a slip.
  const auto usable = PrepareOutputFolder(options.output_dir, !options.resume);
  if (usable) return {};
  return tl::unexpected(fmt::format("{}: {}", WhereGiven(options, "output-dir"), usable.error()));
}

}  // namespace

tl::expected<SenderOptions, EarlyExit> ParseOptions(int argc, const char* const* argv,
                                                    const Environment& environment) {
  SenderOptions options;
  auto given = ParseProgram(Describe(options), argc, argv, environment);
  if (!given) return tl::unexpected(std::move(given.error()));
  TakeGiven(*std::move(given), options);
  for (const auto check : {CheckCombination, CheckComplete, CheckFiles}) {
    if (const auto checked = check(options); !checked) return UsageError(kProgram, checked.error());
  }
  if (!options.resume && !options.calling_ae) options.calling_ae = kDefaultCallingAe;
  return options;
}

}  // namespace dicom_sender
