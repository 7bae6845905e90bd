#include "programs/ctl/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "cli/suggestion.h"
#include "common/text.h"
#include "proto/limits.h"

namespace dicom_sender {
namespace {

constexpr const char* kProgram = "dicom-ctl";

struct CommandWord {
  const char* word;
  CtlCommand command;
  const char* subject;  // as the help names it; nullptr: none
  const char* help;
};
constexpr std::array<CommandWord, 12> kCommands = {{
    {"sessions", CtlCommand::kSessions, nullptr, "lists all sessions of the coordinator's ledger"},
    {"show", CtlCommand::kShow, "SESSION", "shows how far a session is, and what it waits for"},
    {"summary", CtlCommand::kSummary, "SESSION",
     "shows the summary of a session that has ended; with --format json its summary file"},
    {"failures", CtlCommand::kFailures, "SESSION", "lists every instance that failed, with the reason"},
    {"workers", CtlCommand::kWorkers, nullptr, "lists the workers that were heard from lately"},
    {"destinations", CtlCommand::kDestinations, nullptr, "lists the destinations of the open sessions"},
    {"pause", CtlCommand::kPause, "SESSION", "sends no more studies; those that are being sent are finished"},
    {"resume", CtlCommand::kResume, "SESSION", "continues a session that was suspended, cancelled, or given up"},
    {"cancel", CtlCommand::kCancel, "SESSION", "ends a session now; what is not sent stays pending"},
    {"requeue", CtlCommand::kRequeue, "SESSION", "sends again what failed; the options below select from it"},
    {"drain", CtlCommand::kDrain, "WORKER", "the worker takes no more studies, finishes, and exits"},
    {"keygen", CtlCommand::kKeygen, "NAME", "makes NAME.key and NAME.key_secret; needs no coordinator"},
}};

const CommandWord* FindCommand(std::string_view word) {
  const auto it = std::find_if(kCommands.begin(), kCommands.end(), [word](const auto& c) { return c.word == word; });
  return it == kCommands.end() ? nullptr : &*it;
}

Checked SetStatus(std::optional<std::uint16_t>& target, const std::string& text) {
  std::uint16_t status = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), status, 16);
  if (error != std::errc() || end != text.data() + text.size() || text.size() != 4) {
    return tl::unexpected(
        fmt::format("'{}' is not a DIMSE status: give four hexadecimal digits such as A700", ToPrintable(text)));
  }
  target = status;
  return {};
}

Checked SetStudy(std::optional<std::string>& target, const std::string& text) {
  if (text.empty() || ToPrintable(text) != text) {
    return tl::unexpected(fmt::format("'{}' is not a UID: give one such as 1.2.840.1", ToPrintable(text)));
  }
  target = text;
  return {};
}

Checked SetCondition(std::optional<std::string>& target, const std::string& text, std::size_t bytes_max) {
  if (text.empty() || text.size() > bytes_max) {
    return tl::unexpected(fmt::format("expected a text of 1 to {} bytes, not of {}", bytes_max, text.size()));
  }
  target = text;
  return {};
}

std::string CommandsHelp() {
  std::string help;
  for (const CommandWord& command : kCommands) {
    const std::string words =
        fmt::format("{}{}{}", command.word, command.subject ? " " : "", command.subject ? command.subject : "");
    help += fmt::format("  {:<18} {}\n", words, command.help);
  }
  return help;
}

Program Describe(CtlOptions& o) {
  return {.name = kProgram,
          .about =
              "Queries and controls a dicom-coordinator.\n"
              "\n"
              "  dicom-ctl [--coordinator tcp://HOST:5555] COMMAND [OPTION ...]\n"
              "\n"
              "Commands\n" +
              CommandsHelp(),
          .groups = {ConnectionGroup(o.connection),
                     {"Answer",
                      {{0, "format", "FORMAT", "table, or json for scripts (default: table)",
                        SetChoice<CtlFormat>(o.format, {{"table", CtlFormat::kTable}, {"json", CtlFormat::kJson}})},
                       {0, "timeout", "TIME", "how long to wait for the answer, 1s to 1h (default: 10s)",
                        SetTimeout(o.timeout)}}},
                     {"Commands",
                      {{0, "status", "STATUS", "requeue: only what failed with this DIMSE status, such as A700",
                        [&o](const std::string& text) { return SetStatus(o.status, text); }},
                       {0, "study", "UID", "requeue: only this Study Instance UID",
                        [&o](const std::string& text) { return SetStudy(o.study, text); }},
                       {0, "reason", "TEXT", "requeue: only what failed with a reason that contains this text",
                        [&o](const std::string& text) { return SetCondition(o.reason, text, kReasonBytesMax); }},
                       {0, "worker", "NAME", "requeue: only what this worker reported as failed",
                        [&o](const std::string& text) { return SetCondition(o.worker, text, kWorkerNameBytesMax); }},
                       {0, "retry-failed", nullptr, "resume: also send again what failed", SetSwitch(o.retry_failed)},
                       OwnVariable({0, "output-dir", "DIR", "keygen: folder for the two files (default: .)",
                                    SetText(o.output_dir)})}}},
          .epilogue =
              "Examples\n"
              "  dicom-ctl sessions\n"
              "  dicom-ctl failures 5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3a --format json\n"
              "  dicom-ctl requeue 5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3a --status A700\n"
              "  dicom-ctl requeue 5e0c9a1e-8b1c-4f0e-9a59-0f6e4c1d2b3a --worker worker2-1 --reason vanished\n"
              "\n"
              "Exit status\n"
              "  0  done\n"
              "  1  refused by the coordinator, which says why\n"
              "  2  wrong usage, or a key or file that cannot be used\n"
              "  3  the coordinator did not answer\n",
          .words_max = 2};
  // The analyzer loses track of functions in an initializer list.
}  // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks)

// Rejects options of other commands.
Checked CheckCommand(const CommandWord& command, const Given& given) {
  constexpr std::array<std::pair<const char*, CtlCommand>, 6> kOwned = {{{"status", CtlCommand::kRequeue},
                                                                         {"study", CtlCommand::kRequeue},
                                                                         {"reason", CtlCommand::kRequeue},
                                                                         {"worker", CtlCommand::kRequeue},
                                                                         {"retry-failed", CtlCommand::kResume},
                                                                         {"output-dir", CtlCommand::kKeygen}}};
  for (const auto& [option, owner] : kOwned) {
    const auto where = given.where.find(option);
    // The environment or a file may set options for another program or command.
    if (where == given.where.end() || command.command == owner || !where->second.starts_with("--")) continue;
    return tl::unexpected(fmt::format("--{} does not belong to '{}'", option, command.word));
  }
  return {};
}

Checked TakeWords(const Given& given, CtlOptions& options) {
  if (given.words.empty()) return tl::unexpected(std::string("command missing: 'dicom-ctl --help' lists all"));
  const CommandWord* command = FindCommand(given.words[0]);
  if (!command) {
    std::vector<std::string_view> words;
    words.reserve(kCommands.size());
    for (const CommandWord& known : kCommands) words.emplace_back(known.word);
    return tl::unexpected(fmt::format("Unknown command '{}'{}", ToPrintable(given.words[0]),
                                      Advice(given.words[0], words, "", "'dicom-ctl --help' lists all")));
  }
  if (!command->subject && given.words.size() > 1) {
    return tl::unexpected(
        fmt::format("'{}' takes no argument: leave out '{}'", command->word, ToPrintable(given.words[1])));
  }
  if (command->subject && given.words.size() < 2) {
    return tl::unexpected(fmt::format("'{}' needs a {}", command->word, command->subject));
  }
  options.command = command->command;
  if (!command->subject) return CheckCommand(*command, given);
  options.subject = given.words[1];
  if (command->subject == std::string_view("SESSION")) {
    auto session = ParseUuid(options.subject);
    if (!session) return tl::unexpected(std::move(session.error()));
    options.subject = *std::move(session);
  }
  if (command->command == CtlCommand::kDrain &&
      (options.subject.empty() || ToPrintable(options.subject) != options.subject)) {
    return tl::unexpected(
        fmt::format("'{}' is not a worker: 'dicom-ctl workers' lists them", ToPrintable(options.subject)));
  }
  return CheckCommand(*command, given);
}

}  // namespace

tl::expected<CtlOptions, EarlyExit> ParseCtlOptions(int argc, const char* const* argv,
                                                    const Environment& environment) {
  CtlOptions options;
  const auto given = ParseProgram(Describe(options), argc, argv, environment);
  if (!given) return tl::unexpected(given.error());
  if (const auto taken = TakeWords(*given, options); !taken) return UsageError(kProgram, taken.error());
  return options;
}

}  // namespace dicom_sender
