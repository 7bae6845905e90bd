#include "programs/indexer/options.h"

#include <fmt/format.h>

namespace dicom_sender {
namespace {

constexpr const char* kProgram = "dicom-indexer";

std::vector<OptionGroup> Groups(IndexerProgramOptions& o) {
  return {ConnectionGroup(o.connection),
          InputOptions(o),
          DestinationOptions(o),
          SendingOptions(o),
          {"Session",
           {{0, "session", "SESSION", "feed this session, which another indexer has begun, instead of a new one",
             SetUuid(o.session)},
            {0, "wait", nullptr,
             "show the progress until the session has ended, and exit with its status; the log then goes to "
             "--log-file only",
             SetSwitch(o.wait)},
            {0, "dry-run", nullptr,
             "without a coordinator: scan, ask the destination (if given) what it accepts, and list what would not "
             "arrive; the log goes to --log-file only",
             SetSwitch(o.dry_run)},
            {0, "format", "FORMAT", "text or json (default: text); only with --dry-run", SetPlanFormat(o.format)}}},
          ServiceGroup(o.service)};
}

Program Describe(IndexerProgramOptions& options) {
  return {.name = kProgram,
          .about =
              "Finds DICOM files, groups them by study, and publishes them to the coordinator, which leases\n"
              "the studies to workers. Prints the ID of the session on standard output. After a crash, run it\n"
              "again with --session: it adds what was missing and leaves the rest unchanged.\n"
              "\n"
              "  dicom-indexer --coordinator tcp://HOST:5555 PATH [PATH ...] -a AE -H HOST -p PORT [OPTION ...]\n"
              "  dicom-indexer --coordinator tcp://HOST:5555 PATH [PATH ...] --session SESSION [OPTION ...]\n"
              "  dicom-indexer --dry-run PATH [PATH ...] [-a AE -H HOST -p PORT] [OPTION ...]\n",
          .groups = Groups(options),
          .epilogue =
              "Examples\n"
              "  dicom-indexer --dry-run /data/ct -r -a ARCHIVE -H pacs.example.org -p 104\n"
              "  dicom-indexer /data/ct -r -a ARCHIVE -H pacs.example.org -p 104 --wait\n"
              "  dicom-indexer /data/mr -r --session 5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3a\n"
              "\n"
              "Exit status\n"
              "  0  the coordinator has everything that was found; with --wait: all stored; with --dry-run:\n"
              "     nothing stands in the way\n"
              "  1  with --wait: finished, some instances failed; with --dry-run: something would not arrive\n"
              "  2  wrong usage, unusable input, or refused by the coordinator\n"
              "  3  with --wait or --dry-run: the destination was unreachable, or refused us\n"
              "  4  interrupted, or the coordinator was unreachable at the start: run it again; with --wait: or\n"
              "     the session was suspended\n"
              "  70 internal error\n"
              "  74 with --dry-run: the plan, or the temporary ledger (in TMPDIR), cannot be written\n",
          .words_max = kAnyWords};
}

// A session keeps the settings that it was opened with, so --session does not accept them again.
Checked CheckSession(const IndexerProgramOptions& options) {
  if (options.dry_run) return {};
  if (!options.session) return CheckRequired(kProgram, options, {});
  for (const char* name :
       {"ae-title", "host", "port", "calling-ae", "dispatch", "max-attempts", "retry-for", "max-pdu",
        "max-requests-per-association", "connect-timeout", "acse-timeout", "dimse-timeout", "idle-timeout"}) {
    if (options.given.contains(name)) {
      return tl::unexpected(
          fmt::format("{}: the session has it already: leave it out with --session", options.given.at(name)));
    }
  }
  return CheckRequired(kProgram, options, {.inputs = true, .destination = false});
}

Checked CheckDryRun(const IndexerProgramOptions& options) {
  if (!options.dry_run) {
    if (!options.given.contains("format")) return {};
    return tl::unexpected(fmt::format("{} is only for --dry-run", options.given.at("format")));
  }
  for (const char* name : {"session", "wait"}) {
    if (options.given.contains(name)) {
      return tl::unexpected(fmt::format("{} does not go with {}: a dry run opens no session", options.given.at(name),
                                        options.given.at("dry-run")));
    }
  }
  const bool has_destination = options.called_ae || options.host || options.port;
  return CheckRequired(kProgram, options, {.inputs = true, .destination = has_destination});
}

}  // namespace

tl::expected<IndexerProgramOptions, EarlyExit> ParseIndexerOptions(int argc, const char* const* argv,
                                                                   const Environment& environment) {
  IndexerProgramOptions options;
  auto given = ParseProgram(Describe(options), argc, argv, environment);
  if (!given) return tl::unexpected(std::move(given.error()));
  TakeGiven(*std::move(given), options);
  for (const auto check : {CheckDryRun, CheckSession}) {
    if (const auto checked = check(options); !checked) return UsageError(kProgram, checked.error());
  }
  if (const auto checked = CheckInputs(options); !checked) return UsageError(kProgram, checked.error());
  if (!options.calling_ae) options.calling_ae = kDefaultCallingAe;
  return options;
}

}  // namespace dicom_sender
