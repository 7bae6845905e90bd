#include "sender/cli/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "common/text.h"
#include "sender/cli/option_values.h"

namespace dicom_sender {
namespace {

constexpr std::size_t kConfigBytesMax = 1 << 20;
constexpr std::size_t kHelpColumn = 38;
constexpr std::size_t kHelpWidth = 98;
constexpr const char* kDefaultCallingAe = "RUST_SCU";  // of the older tool: destinations know their callers by it

using Checked = tl::expected<void, std::string>;

struct Option {
  char letter;  // 0: none
  const char* name;
  const char* value;  // what the help calls it; nullptr: a switch
  const char* help;
  Checked (*set)(SenderOptions& options, const std::string& text);
  bool repeatable = false;
};
struct Group {
  const char* title;
  std::vector<Option> options;
};

template <typename Target, typename Value>
Checked Put(Target& target, ValueOr<Value> value) {
  if (!value) return tl::unexpected(std::move(value.error()));
  target = *std::move(value);
  return {};
}

template <auto member>
Checked SetSwitch(SenderOptions& options, const std::string& text) {
  return Put(options.*member, ParseSwitch(text));
}
template <auto member>
Checked SetTimeout(SenderOptions& options, const std::string& text) {
  return Put(options.*member, ParseTimeout(text));
}
template <auto member, std::uint32_t least, std::uint32_t most>
Checked SetNumber(SenderOptions& options, const std::string& text) {
  return Put(options.*member, ParseNumber(text, least, most));
}
template <auto member>
Checked SetAeTitle(SenderOptions& options, const std::string& text) {
  return Put(options.*member, ParseAeTitle(text));
}

Checked AddInput(SenderOptions& options, const std::string& text) {
  options.inputs.push_back(text);
  return {};
}
Checked SetPort(SenderOptions& options, const std::string& text) {
  return Put(options.port,
             ParseNumber(text, 1, 65535).map([](std::uint32_t n) { return static_cast<std::uint16_t>(n); }));
}
Checked SetHost(SenderOptions& options, const std::string& text) { return Put(options.host, ParseHost(text)); }
Checked SetMetrics(SenderOptions& options, const std::string& text) {
  return Put(options.metrics, ParseAddress(text));
}
Checked SetResume(SenderOptions& options, const std::string& text) { return Put(options.resume, ParseUuid(text)); }
Checked SetRetryFor(SenderOptions& options, const std::string& text) {
  return Put(options.retry_for, ParseSpan(text));
}
Checked SetOutputDir(SenderOptions& options, const std::string& text) {
  options.output_dir = text;
  return {};
}

template <typename Enum>
Checked Choose(Enum& target, const std::string& text, const std::pair<const char*, Enum>& first,
               const std::pair<const char*, Enum>& second) {
  if (text == first.first) return Put(target, ValueOr<Enum>(first.second));
  if (text == second.first) return Put(target, ValueOr<Enum>(second.second));
  return tl::unexpected(
      fmt::format("'{}' does not fit: give {} or {}", ToPrintable(text), first.first, second.first));
}
Checked SetDispatch(SenderOptions& options, const std::string& text) {
  return Choose<DispatchMode>(options.dispatch, text, {"after-scan", DispatchMode::kAfterScan},
                              {"as-found", DispatchMode::kAsFound});
}
Checked SetLogFormat(SenderOptions& options, const std::string& text) {
  return Choose<LogFormat>(options.log_format, text, {"text", LogFormat::kText}, {"json", LogFormat::kJson});
}
Checked Nothing(SenderOptions&, const std::string&) { return {}; }  // used before any option is set

// All there is, in the order of the help.
const std::vector<Group>& Groups() {
  using O = SenderOptions;
  static const std::vector<Group> groups = {
      {"Input",
       {{'i', "input", "PATH", "file or folder to send; repeat it for several", AddInput, true},
        {'r', "recursive", nullptr, "enter sub-folders", SetSwitch<&O::recursive>},
        {0, "scan-threads", "N", "threads that read file headers, 1 to 64 (default: number of cores)",
         SetNumber<&O::scan_threads, 1, 64>}}},
      {"Destination",
       {{'a', "ae-title", "AE", "AE title of the destination", SetAeTitle<&O::called_ae>},
        {'H', "host", "HOST", "its host name or address", SetHost},
        {'p', "port", "PORT", "its port", SetPort},
        {'c', "calling-ae", "AE", "AE title that we call ourselves (default: RUST_SCU)",
         SetAeTitle<&O::calling_ae>}}},
      {"Sending",
       {{'t', "threads", "N", "associations at the same time, one study each, 1 to 256 (default: 1)",
         SetNumber<&O::threads, 1, 256>},
        {0, "dispatch", "MODE",
         "after-scan: send when everything is found; as-found: while still searching (default: after-scan)",
         SetDispatch},
        {0, "max-attempts", "N", "attempts for one instance, 1 to 100 (default: 5)",
         SetNumber<&O::attempts_max, 1, 100>},
        {0, "retry-for", "TIME",
         "how long the destination may be out of reach before we give up: seconds, or 10m, 6h, 2d (default: 60)",
         SetRetryFor},
        {0, "max-requests-per-association", "N", "instances over one association; 0: no limit (default: 0)",
         SetNumber<&O::requests_per_association_max, 0, 1'000'000'000>},
        {0, "max-pdu", "BYTES",
         "longest PDU, 4096 to 131072; the destination's own limit is obeyed (default: 131072)",
         SetNumber<&O::max_pdu_bytes, 4096, 131072>},
        {0, "connect-timeout", "SECONDS", "for the TCP connection (default: 10)", SetTimeout<&O::connect_timeout>},
        {0, "acse-timeout", "SECONDS", "for the answer to an association request or release (default: 30)",
         SetTimeout<&O::acse_timeout>},
        {0, "dimse-timeout", "SECONDS", "for the answer to a C-STORE (default: 120)", SetTimeout<&O::dimse_timeout>},
        {0, "idle-timeout", "SECONDS", "without progress while an instance is sent (default: 60)",
         SetTimeout<&O::idle_timeout>}}},
      {"Output",
       {{0, "output-dir", "DIR", "for log, summary, failures and ledger; created if missing (default: .)",
         SetOutputDir},
        {0, "log-format", "FORMAT", "text or json (default: text)", SetLogFormat},
        {0, "metrics", "HOST:PORT", "serve Prometheus metrics at /metrics while running", SetMetrics},
        {'v', "verbose", nullptr, "one line for each instance", SetSwitch<&O::verbose>}}},
      {"Session",
       {{0, "dry-run", nullptr, "only find and group the files; needs --input alone", SetSwitch<&O::dry_run>},
        {0, "echo", nullptr, "only C-ECHO the destination; needs -a, -H and -p", SetSwitch<&O::echo>},
        {0, "resume", "SESSION", "go on with an interrupted session; its ledger is in --output-dir", SetResume},
        {0, "retry-failed", nullptr, "with --resume: try again what failed, too", SetSwitch<&O::retry_failed>},
        {0, "keep-ledger", nullptr, "keep the ledger after a complete success", SetSwitch<&O::keep_ledger>},
        {0, "config", "FILE", "a TOML file with options by their long names", Nothing},
        {'h', "help", nullptr, "show this", Nothing},
        {'V', "version", nullptr, "show the version", Nothing}}}};
  return groups;
}

const Option* FindOption(std::string_view name) {
  for (const Group& group : Groups()) {
    for (const Option& option : group.options) {
      if (option.name == name) return &option;
    }
  }
  return nullptr;
}

bool IsSpelledLikeAnOption(const std::string& text) {
  if (text.starts_with("--")) return FindOption(text.substr(2)) != nullptr;
  if (text.size() != 2 || text[0] != '-') return false;
  return std::any_of(Groups().begin(), Groups().end(), [&](const Group& group) {
    return std::any_of(group.options.begin(), group.options.end(),
                       [&](const Option& option) { return option.letter == text[1]; });
  });
}

bool IsOnlyForTheCommandLine(std::string_view name) { return name == "help" || name == "version"; }

std::string VariableName(std::string name) {
  for (char& c : name) c = c == '-' ? '_' : static_cast<char>(c - 'a' + 'A');
  return "DICOM_SENDER_" + name;
}

struct GivenValues {
  std::string where;  // to be said in messages
  std::vector<std::string> values;
};
using AllGiven = std::map<std::string, GivenValues, std::less<>>;

tl::unexpected<EarlyExit> UsageError(const std::string& text) {
  return tl::unexpected(EarlyExit{2, "", fmt::format("dicom-sender: {}\n", text)});
}

// --- the command line

std::string ExtrasText(const std::vector<std::string>& extras) {
  const auto option =
      std::find_if(extras.begin(), extras.end(), [](const std::string& text) { return text.starts_with('-'); });
  if (option != extras.end()) {
    return fmt::format("'{}' is no option: 'dicom-sender --help' lists them", ToPrintable(*option));
  }
  return fmt::format("'{}' belongs to no option: name each input by -i of its own", ToPrintable(extras.front()));
}

std::string NeedsValueText(const Option& option) {
  return fmt::format("--{} needs a value: give --{} {}", option.name, option.name, option.value);
}

std::string ParseErrorText(const CLI::ParseError& error) {
  const std::string text = error.what();
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr && text.starts_with("--")) {
    const std::string name = text.substr(2, text.find_first_of(":, ") - 2);
    if (const Option* option = FindOption(name); option != nullptr && option->value != nullptr) {
      return NeedsValueText(*option);
    }
  }
  return fmt::format("{}: see 'dicom-sender --help'", ToPrintable(text));
}

tl::expected<AllGiven, EarlyExit> ReadCommandLine(int argc, const char* const* argv) {
  CLI::App app;
  app.set_help_flag();  // ours does it
  app.allow_extras();
  std::vector<std::pair<const Option*, CLI::Option*>> parsed;
  for (const Group& group : Groups()) {
    for (const Option& option : group.options) {
      const std::string names =
          option.letter ? fmt::format("-{},--{}", option.letter, option.name) : fmt::format("--{}", option.name);
      CLI::Option* added = nullptr;
      if (option.value == nullptr) {
        added = app.add_flag(names);
      } else {
        // Its raw texts are used: CLI11's conversions have an own idea of "[a,b]" and "{}", which may be file names.
        added = app.add_option(names, CLI::callback_t())->allow_extra_args(false);
      }
      added->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
      parsed.emplace_back(&option, added);
    }
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return UsageError(ParseErrorText(error));
  }
  AllGiven given;
  for (const auto& [option, result] : parsed) {
    const auto& values = result->results();
    if (option->value != nullptr && std::any_of(values.begin(), values.end(), IsSpelledLikeAnOption)) {
      return UsageError(NeedsValueText(*option));
    }
    if (result->count() > 0) given[option->name] = {fmt::format("--{}", option->name), result->results()};
  }
  if (given.contains("help")) return tl::unexpected(EarlyExit{0, HelpText(), ""});
  if (given.contains("version"))
    return tl::unexpected(EarlyExit{0, fmt::format("dicom-sender {}\n", ProgramVersion()), ""});
  if (const auto extras = app.remaining(); !extras.empty()) return UsageError(ExtrasText(extras));
  return given;
}

// --- the environment

std::vector<std::string> SplitPaths(std::string_view text) {
  std::vector<std::string> paths;
  while (!text.empty()) {
    const auto colon = std::min(text.find(':'), text.size());
    if (colon > 0) paths.emplace_back(text.substr(0, colon));
    text.remove_prefix(std::min(colon + 1, text.size()));
  }
  return paths;
}

// An empty variable counts as none: compose files pass on what is not set as empty.
void AddEnvironment(const Environment& environment, AllGiven& given) {
  for (const Group& group : Groups()) {
    for (const Option& option : group.options) {
      if (given.contains(option.name) || IsOnlyForTheCommandLine(option.name)) continue;
      const std::string name = VariableName(option.name);
      const char* value = environment(name.c_str());
      if (value == nullptr || *value == '\0') continue;
      given[option.name] = {name, option.repeatable ? SplitPaths(value) : std::vector<std::string>{value}};
    }
  }
}

// --- the configuration file

// CLI11's reader of TOML takes some valid texts for something else without a word: what follows '#' within quotes, or
// comments within an array. They are refused instead. Returns what is wrong with the line, if anything.
std::optional<std::string> MisreadByCli11(std::string_view line, bool& in_array) {
  char quote = 0;
  for (const char c : line) {
    if (quote != 0) {
      if (c == '#') return "'#' within quotes is not supported here: use the command line or the environment";
      if (c == '\\' && quote == '"')
        return "a backslash within double quotes is not supported here: use single quotes";
      if (c == quote) quote = 0;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '#') {
      if (in_array) return "a comment within an array is not supported here: put it above";
      break;
    } else if (c == '[') {
      in_array = true;
    } else if (c == ']') {
      in_array = false;
    }
  }
  if (quote != 0) return "a quote is not closed: close it on the same line";
  return std::nullopt;
}

tl::expected<std::string, std::string> ReadConfigText(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::string text(kConfigBytesMax + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!in.is_open() || in.bad())
    return tl::unexpected(fmt::format("'{}' can not be read: check the path", ToPrintable(file)));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > kConfigBytesMax) {
    return tl::unexpected(
        fmt::format("'{}' is longer than {} bytes: is it the right file?", ToPrintable(file), kConfigBytesMax));
  }
  std::istringstream lines(text);
  bool in_array = false;
  std::size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (const auto wrong = MisreadByCli11(line, in_array)) {
      return tl::unexpected(fmt::format("'{}', line {}: {}", ToPrintable(file), number, *wrong));
    }
  }
  if (in_array) return tl::unexpected(fmt::format("'{}': an array is not closed: add the ']'", ToPrintable(file)));
  return text;
}

Checked AddConfig(const std::string& file, AllGiven& given) {
  auto text = ReadConfigText(file);
  if (!text) return tl::unexpected(std::move(text.error()));
  std::istringstream in(*std::move(text));
  AllGiven from_file;
  for (CLI::ConfigItem& item : CLI::ConfigTOML().from_config(in)) {
    const Option* option = item.parents.empty() ? FindOption(item.name) : nullptr;
    if (option == nullptr || IsOnlyForTheCommandLine(item.name) || item.name == "config") {
      const std::string name =
          item.name == "++" ? fmt::format("[{}]", CLI::detail::join(item.parents, ".")) : item.fullname();
      return tl::unexpected(fmt::format("'{}' in '{}' is no option: use long names such as ae-title, and no sections",
                                        ToPrintable(name), ToPrintable(file)));
    }
    GivenValues& values = from_file[item.name];
    values.where = fmt::format("{} in {}", item.name, ToPrintable(file));
    values.values.insert(values.values.end(), item.inputs.begin(), item.inputs.end());
  }
  given.merge(from_file);  // leaves what the command line or the environment has
  return {};
}

// --- all together

Checked Apply(const AllGiven& all, SenderOptions& options) {
  for (const Group& group : Groups()) {
    for (const Option& option : group.options) {
      const auto given = all.find(option.name);
      if (given == all.end()) continue;
      const auto& [where, values] = given->second;
      if (values.empty()) return tl::unexpected(fmt::format("{}: is empty: give a value", where));
      if (values.size() > 1 && option.value != nullptr && !option.repeatable) {
        return tl::unexpected(fmt::format("{}: given {} times: give it once", where, values.size()));
      }
      for (const std::string& value : values) {
        if (const auto set = option.set(options, value); !set) {
          return tl::unexpected(fmt::format("{}: {}", where, set.error()));
        }
      }
      options.given[option.name] = where;
    }
  }
  return {};
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

void AppendWrapped(std::string_view text, std::string& out) {
  std::size_t column = kHelpColumn;
  while (!text.empty()) {
    const auto end = std::min(text.find(' '), text.size());
    if (column + 1 + end > kHelpWidth) {
      out += '\n' + std::string(kHelpColumn, ' ');
      column = kHelpColumn;
    } else if (column > kHelpColumn) {
      out += ' ';
      ++column;
    }
    out += text.substr(0, end);
    column += end;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  out += '\n';
}

}  // namespace

std::string_view ProgramVersion() { return DICOM_SENDER_VERSION; }

std::string HelpText() {
  std::string out =
      "Sends DICOM files to an archive by C-STORE, one association for each study, and reports what the\n"
      "archive answered for each instance.\n"
      "\n"
      "  dicom-sender -i PATH [-i PATH ...] -a AE -H HOST -p PORT [OPTION ...]\n";
  for (const Group& group : Groups()) {
    out += fmt::format("\n{}\n", group.title);
    for (const Option& option : group.options) {
      const std::string letter = option.letter ? fmt::format("-{}, ", option.letter) : std::string(4, ' ');
      const std::string value = option.value ? std::string(" ") + option.value : "";
      const std::string names = fmt::format("  {}--{}{}", letter, option.name, value);
      out += names.size() + 2 <= kHelpColumn ? fmt::format("{:<{}}", names, kHelpColumn)
                                             : names + '\n' + std::string(kHelpColumn, ' ');
      AppendWrapped(option.help, out);
    }
  }
  out +=
      "\n"
      "Each option can also be set by an environment variable, such as DICOM_SENDER_AE_TITLE for --ae-title\n"
      "(DICOM_SENDER_INPUT: paths separated by ':'; switches: true or false), and in the --config file.\n"
      "The command line wins over the environment, the environment over the file.\n"
      "\n"
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
      "  70 internal error\n";
  return out;
}

tl::expected<SenderOptions, EarlyExit> ParseOptions(int argc, const char* const* argv,
                                                    const Environment& environment) {
  auto all = ReadCommandLine(argc, argv);
  if (!all) return tl::unexpected(std::move(all.error()));
  AddEnvironment(environment, *all);
  if (const auto config = all->find("config"); config != all->end()) {
    const GivenValues file = config->second;
    if (file.values.size() > 1)
      return UsageError(fmt::format("{}: given {} times: give it once", file.where, file.values.size()));
    if (const auto added = AddConfig(file.values[0], *all); !added) {
      return UsageError(fmt::format("{}: {}", file.where, added.error()));
    }
  }
  SenderOptions options;
  options.scan_threads = std::clamp(std::thread::hardware_concurrency(), 1U, 64U);
  if (const auto applied = Apply(*all, options); !applied) return UsageError(applied.error());
  for (const auto check : {CheckCombination, CheckRequired, CheckFiles}) {
    if (const auto checked = check(options); !checked) return UsageError(checked.error());
  }
  if (!options.resume && !options.calling_ae) options.calling_ae = kDefaultCallingAe;
  return options;
}

tl::expected<SenderOptions, EarlyExit> ParseOptions(int argc, const char* const* argv) {
  return ParseOptions(argc, argv, [](const char* name) { return std::getenv(name); });
}

}  // namespace dicom_sender
