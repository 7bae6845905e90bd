// What may be said to a program: on the command line, in environment variables and in a TOML file, in this order of
// precedence. dicom-worker reads DICOM_WORKER_THREADS, and DICOM_SENDER_THREADS if that is not set; so one
// environment serves several programs. A program describes its options by a table; reading them, the help and the
// messages are the same for all programs. Nothing here is thread-safe: it is used at the start of main().
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

using Checked = tl::expected<void, std::string>;  // the error: one sentence

// Writes the value into the caller's options, which must outlive it. The error says what is wrong with the value
// without the option's name.
using OptionSetter = std::function<Checked(const std::string& text)>;

inline constexpr char kNoSeparator = '\0';  // a value is itself a list, which its setter takes apart

struct ProgramOption {
  char letter;        // 0: none
  const char* name;   // "max-pdu": --max-pdu, DICOM_SENDER_MAX_PDU, and max-pdu in the file
  const char* value;  // what the help calls it; nullptr: a switch, whose values are true and false
  const char* help;
  OptionSetter set;           // called once for each value, in their order
  bool repeatable = false;    // several values: given several times, an array in the file
  char list_separator = ':';  // between the values in the environment variable of a repeatable one
  // Another program means something else by it, such as its own address or file: only the variable with this
  // program's name sets it.
  bool own_variable = false;
  const char* implied = nullptr;  // the value where none is given on the command line; nullptr: one is needed
};
struct OptionGroup {
  const char* title;
  std::vector<ProgramOption> options;
};

inline constexpr std::size_t kAnyWords = std::numeric_limits<std::size_t>::max();

struct Program {
  const char* name;                      // "dicom-sender"
  std::string about = {};                // what it does, and the usage lines: the front of the help
  std::vector<OptionGroup> groups = {};  // --config, --help and --version are added to the last one
  std::string epilogue = {};             // examples and exit status: the end of the help
  std::size_t words_max = 0;             // arguments that belong to no option, such as "show SESSION"; kAnyWords
};

struct Given {
  // Which options were given, by their long names ("max-pdu"), and where: "--max-pdu", "DICOM_SENDER_MAX_PDU" or
  // "max-pdu in FILE, line 3". To say it in messages, and to tell what was given from what is a default.
  std::map<std::string, std::string, std::less<>> where;
  std::vector<std::string> words;  // at most words_max
};

// The program is to end now, with this exit status: help or version for stdout, or an error for stderr, one line.
struct EarlyExit {
  int exit_status = 0;
  std::string out;
  std::string err;
};

using Environment = std::function<const char*(const char* name)>;  // as std::getenv
const char* ProcessEnvironment(const char* name);

// Checks each value by itself; that they fit together is for the caller to check. Once for each table, because the
// setters of repeatable options append.
tl::expected<Given, EarlyExit> ParseProgram(const Program& program, int argc, const char* const* argv,
                                            const Environment& environment = ProcessEnvironment);

// Exit status 2, "dicom-sender: text".
tl::unexpected<EarlyExit> UsageError(std::string_view program_name, const std::string& text);

// Writes what there is to say. Returns the exit status.
int LeaveEarly(const EarlyExit& exit);

std::string_view ProgramVersion();  // "0.1.0", the same for all programs

inline ProgramOption OwnVariable(ProgramOption option) {
  option.own_variable = true;
  return option;
}

// --- setters of one option each; the ranges and forms are those of option_values.h

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
// `Time`: std::chrono::seconds or finer, or an optional one.
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
// `Text`, here and below: std::string, or an optional one.
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
OptionSetter SetPort(Port& target) {  // std::uint16_t, or an optional one
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
// One of several words.
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
