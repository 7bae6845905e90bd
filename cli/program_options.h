// Reads the options of a program from the command line, environment variables, and a TOML file, in this order of
// precedence. dicom-worker reads DICOM_WORKER_THREADS, and DICOM_SENDER_THREADS if that is not set, so one
// environment works for several programs. A program describes its options in a table; the parsing, the help, and the
// messages are the same for all programs. Not thread-safe, because it is used at the start of main() only.
//
//   WorkerOptions options;
//   const Program program = {.name = "dicom-worker", .about = "...",
//       .groups = {{"Sending", {{'t', "threads", "N", "...", SetNumber(options.threads, 1, 256)}}}}, ...};
//   if (const auto given = ParseProgram(program, argc, argv); !given) return LeaveEarly(given.error());
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

#include "cli/option_values.h"
#include "common/log.h"

namespace dicom_sender {

using Checked = tl::expected<void, std::string>;  // the error is one sentence

// Parses a value and stores it in the caller's options, which must outlive the setter. The error says what is wrong
// with the value, without the option's name.
using OptionSetter = std::function<Checked(const std::string& text)>;

inline constexpr char kNoSeparator = '\0';  // each value is itself a list, which the setter splits

struct ProgramOption {
  char letter;        // 0: none
  const char* name;   // "max-pdu": --max-pdu, DICOM_SENDER_MAX_PDU, and max-pdu in the file
  const char* value;  // its placeholder in the help; nullptr: a switch, whose values are true and false
  const char* help;
  OptionSetter set;           // called once per value, in order
  bool repeatable = false;    // takes several values: repeated on the command line, an array in the file
  char list_separator = ':';  // separates the values of a repeatable option in its environment variable
  // The option means something else in another program (its own address or file), so only the variable with this
  // program's prefix sets it.
  bool own_variable = false;
  const char* implied = nullptr;  // the value if the command line gives none; nullptr: the value is required
};
struct OptionGroup {
  const char* title;
  std::vector<ProgramOption> options;
};

inline constexpr std::size_t kAnyWords = std::numeric_limits<std::size_t>::max();

struct Program {
  const char* name;                      // "dicom-sender"
  std::string about = {};                // the start of the help: what the program does, and the usage lines
  std::vector<OptionGroup> groups = {};  // --config, --help and --version are added to the last one
  std::string epilogue = {};             // the end of the help: examples and exit statuses
  std::size_t words_max = 0;             // positional arguments, such as "show SESSION"; may be kAnyWords
};

struct Given {
  // The options that were given, by their long names ("max-pdu"), and where: "--max-pdu", "DICOM_SENDER_MAX_PDU", or
  // "max-pdu in FILE, line 3". Messages use it, and it distinguishes given values from defaults.
  std::map<std::string, std::string, std::less<>> where;
  std::vector<std::string> words;  // at most words_max
};

// Tells the program to exit now with this status: help or version for stdout, or a one-line error for stderr.
struct EarlyExit {
  int exit_status = 0;
  std::string out;
  std::string err;
};

using Environment = std::function<const char*(const char* name)>;  // works like std::getenv
const char* ProcessEnvironment(const char* name);

// Checks each value by itself; the caller checks that the values fit together. Call it once per table, because the
// setters of repeatable options append.
tl::expected<Given, EarlyExit> ParseProgram(const Program& program, int argc, const char* const* argv,
                                            const Environment& environment = ProcessEnvironment);

// Makes an error with exit status 2 and the text "dicom-sender: text".
tl::unexpected<EarlyExit> UsageError(std::string_view program_name, const std::string& text);

// Writes the texts to stdout and stderr. Returns the exit status.
int LeaveEarly(const EarlyExit& exit);

std::string_view ProgramVersion();  // "0.1.0", the same for all programs

inline ProgramOption OwnVariable(ProgramOption option) {
  option.own_variable = true;
  return option;
}

// --- Setters, each for one option. For the accepted values, see option_values.h.

template <typename Target, typename Value>
Checked PutValue(Target& target, ValueOr<Value> value) {
  if (!value) return tl::unexpected(std::move(value.error()));
  target = *std::move(value);
  return {};
}

inline OptionSetter SetSwitch(bool& target) {
  return [&target](const std::string& text) { return PutValue(target, ParseSwitch(text)); };
}
// `Number`: an unsigned type that holds `most`.
template <typename Number>
OptionSetter SetNumber(Number& target, std::uint32_t least, std::uint32_t most) {
  return [&target, least, most](const std::string& text) {
    return PutValue(target,
                    ParseNumber(text, least, most).map([](std::uint32_t n) { return static_cast<Number>(n); }));
  };
}
// `Time`: std::chrono::seconds or finer, or an optional of it.
template <typename Time>
OptionSetter SetTime(Time& target, std::chrono::seconds least, std::chrono::seconds most) {
  return [&target, least, most](const std::string& text) { return PutValue(target, ParseTime(text, least, most)); };
}
template <typename Time>
OptionSetter SetTimeout(Time& target) {  // never unlimited
  return SetTime(target, std::chrono::seconds(1), std::chrono::hours(1));
}
template <typename Time>
OptionSetter SetSpan(Time& target) {
  return SetTime(target, std::chrono::seconds(0), std::chrono::days(30));
}
// `Number`: an unsigned type that holds `most`.
template <typename Number>
OptionSetter SetSize(Number& target, std::uint64_t least, std::uint64_t most) {
  return [&target, least, most](const std::string& text) {
    return PutValue(target, ParseSize(text, least, most).map([](std::uint64_t n) { return static_cast<Number>(n); }));
  };
}
// `Text`, here and below: std::string, or an optional of it.
template <typename Text>
OptionSetter SetText(Text& target) {
  return [&target](const std::string& text) { return PutValue(target, ValueOr<std::string>(text)); };
}
inline OptionSetter AddText(std::vector<std::string>& target) {
  return [&target](const std::string& text) -> Checked {
    target.push_back(text);
    return {};
  };
}
template <typename Text>
OptionSetter SetAeTitle(Text& target) {
  return [&target](const std::string& text) { return PutValue(target, ParseAeTitle(text)); };
}
template <typename Text>
OptionSetter SetHost(Text& target) {
  return [&target](const std::string& text) { return PutValue(target, ParseHost(text)); };
}
template <typename Port>
OptionSetter SetPort(Port& target) {  // std::uint16_t, or an optional of it
  return [&target](const std::string& text) {
    return PutValue(target,
                    ParseNumber(text, 1, 65535).map([](std::uint32_t n) { return static_cast<std::uint16_t>(n); }));
  };
}
template <typename Text>
OptionSetter SetAddress(Text& target) {
  return [&target](const std::string& text) { return PutValue(target, ParseAddress(text)); };
}
inline OptionSetter SetBindEndpoint(std::string& target) {
  return [&target](const std::string& text) { return PutValue(target, ParseBindEndpoint(text)); };
}
template <typename Text>
OptionSetter SetUuid(Text& target) {
  return [&target](const std::string& text) { return PutValue(target, ParseUuid(text)); };
}
// Accepts one of several words.
template <typename Enum>
OptionSetter SetChoice(Enum& target, std::vector<std::pair<const char*, Enum>> choices) {
  return [&target, choices = std::move(choices)](const std::string& text) {
    std::vector<std::string_view> words;
    for (const auto& choice : choices) words.emplace_back(choice.first);
    return PutValue(target, ParseChoice(text, words).map([&](std::size_t i) { return choices[i].second; }));
  };
}
inline OptionSetter SetLogFormat(LogFormat& target) {
  return SetChoice<LogFormat>(target, {{"text", LogFormat::kText}, {"json", LogFormat::kJson}});
}

}  // namespace dicom_sender
