#include "cli/program_options.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <optional>

#include "cli/config_file.h"
#include "cli/help_text.h"
#include "cli/option_table.h"
#include "cli/suggestion.h"
#include "common/text.h"

namespace dicom_sender {
namespace {

constexpr std::string_view kCommonPrefix = "dicom-sender";  // prefix of the variables that all programs read

// --- the table

Program WithCommonOptions(Program program) {
  // ReadAll() and ReadCommandLine() use the values of these options before any option is set.
  const auto nothing = [](const std::string&) -> Checked { return {}; };
  if (program.groups.empty()) program.groups.push_back({"Options", {}});
  auto& options = program.groups.back().options;
  options.push_back(OwnVariable({0, "config", "FILE", "a TOML file with options by their long names", nothing}));
  options.push_back({'h', "help", nullptr, "show this help", nothing});
  options.push_back({'V', "version", nullptr, "show the version", nothing});
  return program;
}

const ProgramOption* FindOption(const Program& program, std::string_view name) {
  for (const ProgramOption* option : OptionsOf(program)) {
    if (option->name == name) return option;
  }
  return nullptr;
}

bool IsSpelledLikeAnOption(const Program& program, const std::string& text) {
  if (text.starts_with("--")) return FindOption(program, text.substr(2)) != nullptr;
  if (text.size() != 2 || text[0] != '-') return false;
  const auto options = OptionsOf(program);
  return std::any_of(options.begin(), options.end(),
                     [&](const ProgramOption* option) { return option->letter == text[1]; });
}

bool IsOnlyForTheCommandLine(std::string_view name) { return name == "help" || name == "version"; }

struct GivenValues {
  std::string where;  // for messages
  std::vector<std::string> values;
};
using AllGiven = std::map<std::string, GivenValues, std::less<>>;

// --- the command line

std::string OptionAdvice(const Program& program, std::string_view text, std::string_view prefix,
                         std::string_view other_advice) {
  std::vector<std::string_view> names;
  for (const ProgramOption* option : OptionsOf(program)) names.emplace_back(option->name);
  while (text.starts_with('-')) text.remove_prefix(1);
  return Advice(text.substr(0, text.find('=')), names, prefix, other_advice);
}

// Separates positional arguments from unknown options; after "--", all arguments are positional. Returns the first
// unknown option.
std::optional<std::string> TakeWords(const std::vector<std::string>& remaining, std::vector<std::string>& words) {
  bool only_words = false;
  for (const std::string& text : remaining) {
    if (!only_words && text == "--") {
      only_words = true;
    } else if (!only_words && text.starts_with('-')) {
      return text;
    } else {
      words.push_back(text);
    }
  }
  return std::nullopt;
}

Checked CheckWords(const Program& program, const std::vector<std::string>& remaining,
                   std::vector<std::string>& words) {
  if (const auto option = TakeWords(remaining, words)) {
    return tl::unexpected(
        fmt::format("Unknown option '{}'{}", ToPrintable(*option),
                    OptionAdvice(program, *option, "--", fmt::format("'{} --help' lists all", program.name))));
  }
  if (words.size() <= program.words_max) return {};
  return tl::unexpected(
      fmt::format("Unexpected argument '{}': see '{} --help'", ToPrintable(words[program.words_max]), program.name));
}

std::string NeedsValueText(const ProgramOption& option) {
  return fmt::format("--{} needs a value: give --{} {}", option.name, option.name, option.value);
}

std::string ParseErrorText(const Program& program, const CLI::ParseError& error) {
  const std::string text = error.what();
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr && text.starts_with("--")) {
    const std::string name = text.substr(2, text.find_first_of(":, ") - 2);
    if (const ProgramOption* option = FindOption(program, name); option != nullptr && option->value != nullptr) {
      return NeedsValueText(*option);
    }
  }
  return fmt::format("{}: see '{} --help'", ToPrintable(text), program.name);
}

CLI::Option* AddTo(CLI::App& app, const ProgramOption& option) {
  const std::string names =
      option.letter ? fmt::format("-{},--{}", option.letter, option.name) : fmt::format("--{}", option.name);
  // Uses the raw texts, because CLI11's conversions give a special meaning to "[a,b]" and "{}", which may be file
  // names.
  CLI::Option* added = option.value == nullptr ? app.add_flag(names)
                                               : app.add_option(names, CLI::callback_t())->allow_extra_args(false);
  if (option.implied != nullptr) added->expected(0, 1)->default_str(option.implied);
  return added->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

tl::expected<AllGiven, EarlyExit> ReadCommandLine(const Program& program, int argc, const char* const* argv,
                                                  std::vector<std::string>& words) {
  CLI::App app;
  app.set_help_flag();  // disables CLI11's own --help
  app.allow_extras();
  std::vector<std::pair<const ProgramOption*, CLI::Option*>> parsed;
  for (const ProgramOption* option : OptionsOf(program)) parsed.emplace_back(option, AddTo(app, *option));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return UsageError(program.name, ParseErrorText(program, error));
  }
  AllGiven given;
  for (const auto& [option, result] : parsed) {
    const auto& values = result->results();
    const auto is_option = [&](const std::string& value) { return IsSpelledLikeAnOption(program, value); };
    if (option->value != nullptr && std::any_of(values.begin(), values.end(), is_option)) {
      return UsageError(program.name, NeedsValueText(*option));
    }
    if (result->count() > 0) given[option->name] = {fmt::format("--{}", option->name), values};
  }
  if (given.contains("help")) return tl::unexpected(EarlyExit{0, HelpText(program), ""});
  if (given.contains("version")) {
    return tl::unexpected(EarlyExit{0, fmt::format("{} {}\n", program.name, ProgramVersion()), ""});
  }
  if (const auto checked = CheckWords(program, app.remaining(), words); !checked) {
    return UsageError(program.name, checked.error());
  }
  return given;
}

// --- the environment

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const auto end = std::min(text.find(separator), text.size());
    if (end > 0) parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

// An empty variable counts as unset, because compose files pass unset variables as empty ones.
void AddEnvironment(const Program& program, const Environment& environment, AllGiven& given) {
  for (const ProgramOption* option : OptionsOf(program)) {
    if (given.contains(option->name) || IsOnlyForTheCommandLine(option->name)) continue;
    for (const std::string& name : VariableNames(program, *option)) {
      const char* value = environment(name.c_str());
      if (value == nullptr || *value == '\0') continue;
      const bool is_list = option->repeatable && option->list_separator != kNoSeparator;
      given[option->name] = {name, is_list ? Split(value, option->list_separator) : std::vector<std::string>{value}};
      break;
    }
  }
}

// --- the configuration file

Checked AddConfig(const Program& program, const std::string& file, AllGiven& given) {
  auto entries = ReadConfigFile(file);
  if (!entries) return tl::unexpected(std::move(entries.error()));
  for (ConfigEntry& entry : *entries) {
    const ProgramOption* option = FindOption(program, entry.name);
    if (option == nullptr || IsOnlyForTheCommandLine(entry.name) || entry.name == "config") {
      return tl::unexpected(fmt::format("Unknown option '{}' in '{}', line {}{}", ToPrintable(entry.name),
                                        ToPrintable(file), entry.line,
                                        OptionAdvice(program, entry.name, "", "use long names such as ae-title")));
    }
    // Does nothing if the command line or the environment has set the option.
    given.try_emplace(entry.name,
                      GivenValues{fmt::format("{} in {}, line {}", entry.name, ToPrintable(file), entry.line),
                                  std::move(entry.values)});
  }
  return {};
}

// --- all sources

tl::expected<AllGiven, EarlyExit> ReadAll(const Program& program, int argc, const char* const* argv,
                                          const Environment& environment, std::vector<std::string>& words) {
  auto all = ReadCommandLine(program, argc, argv, words);
  if (!all) return all;
  AddEnvironment(program, environment, *all);
  const auto config = all->find("config");
  if (config == all->end()) return all;
  const GivenValues file = config->second;
  if (file.values.size() > 1) {
    return UsageError(program.name, fmt::format("{}: given {} times: give it once", file.where, file.values.size()));
  }
  if (const auto added = AddConfig(program, file.values[0], *all); !added) {
    return UsageError(program.name, fmt::format("{}: {}", file.where, added.error()));
  }
  return all;
}

Checked SetOption(const ProgramOption& option, const GivenValues& given) {
  const auto& [where, values] = given;
  if (values.empty()) return tl::unexpected(fmt::format("{}: no value: give one", where));
  if (values.size() > 1 && option.value != nullptr && !option.repeatable) {
    return tl::unexpected(fmt::format("{}: given {} times: give it once", where, values.size()));
  }
  for (const std::string& value : values) {
    if (const auto set = option.set(value); !set) return tl::unexpected(fmt::format("{}: {}", where, set.error()));
  }
  return {};
}

void WriteAll(int fd, const std::string& text) {
  [[maybe_unused]] const auto written = write(fd, text.data(), text.size());  // an error cannot be reported anywhere
}

}  // namespace

const char* ProcessEnvironment(const char* name) { return std::getenv(name); }

std::string_view ProgramVersion() { return DICOM_SENDER_VERSION; }

tl::unexpected<EarlyExit> UsageError(std::string_view program_name, const std::string& text) {
  return tl::unexpected(EarlyExit{2, "", fmt::format("{}: {}\n", program_name, text)});
}

int LeaveEarly(const EarlyExit& exit) {
  WriteAll(STDOUT_FILENO, exit.out);
  WriteAll(STDERR_FILENO, exit.err);
  return exit.exit_status;
}

tl::expected<Given, EarlyExit> ParseProgram(const Program& program, int argc, const char* const* argv,
                                            const Environment& environment) {
  const Program whole = WithCommonOptions(program);
  Given given;
  const auto all = ReadAll(whole, argc, argv, environment, given.words);
  if (!all) return tl::unexpected(all.error());
  for (const ProgramOption* option : OptionsOf(whole)) {
    const auto it = all->find(option->name);
    if (it == all->end()) continue;
    if (const auto set = SetOption(*option, it->second); !set) return UsageError(whole.name, set.error());
    given.where[option->name] = it->second.where;
  }
  return given;
}

}  // namespace dicom_sender
