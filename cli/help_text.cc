#include "cli/help_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "cli/option_table.h"

namespace dicom_sender {
namespace {

constexpr std::size_t kHelpColumn = 38;
constexpr std::size_t kHelpWidth = 98;

void AppendWrapped(std::string_view text, std::size_t indent, std::string& out) {
  std::size_t column = indent;
  while (!text.empty()) {
    const auto end = std::min(text.find(' '), text.size());
    if (column + 1 + end > kHelpWidth) {
      out += '\n' + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      out += ' ';
      ++column;
    }
    out += text.substr(0, end);
    column += end;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  out += '\n';
}

void AppendOption(const ProgramOption& option, std::string& out) {
  const std::string letter = option.letter ? fmt::format("-{}, ", option.letter) : std::string(4, ' ');
  const std::string word = option.value ? option.value : "";
  const std::string value = option.implied ? fmt::format(" [{}]", word) : word.empty() ? "" : " " + word;
  const std::string names = fmt::format("  {}--{}{}", letter, option.name, value);
  out += names.size() + 2 <= kHelpColumn ? fmt::format("{:<{}}", names, kHelpColumn)
                                         : names + '\n' + std::string(kHelpColumn, ' ');
  AppendWrapped(option.help, kHelpColumn, out);
}

// Returns the first option with one value, preferably one with a letter, because those are used most.
const ProgramOption& ExampleOption(const Program& program) {
  const auto options = OptionsOf(program);
  const ProgramOption* example = nullptr;
  for (const ProgramOption* option : options) {
    if (option->value == nullptr || option->repeatable) continue;
    if (option->letter != 0) return *option;
    if (example == nullptr) example = option;
  }
  return example != nullptr ? *example : *options.back();
}

std::string OtherSourcesText(const Program& program) {
  const ProgramOption& example = ExampleOption(program);
  std::string text = fmt::format(
      "Each option can also be set by an environment variable, such as {} for --{} (switches: true or false",
      fmt::join(VariableNames(program, example), " or "), example.name);
  std::vector<std::string> own;
  for (const ProgramOption* option : OptionsOf(program)) {
    if (option->own_variable) own.push_back(VariableNames(program, *option)[0]);
    if (!option->repeatable || option->list_separator == kNoSeparator) continue;
    text += fmt::format("; {}: several separated by '{}'", VariableNames(program, *option).back(),
                        option->list_separator);
  }
  text +=
      "), and in the --config file. The command line takes precedence over the environment, and "
      "the environment over the file.";
  if (VariableName(program.name, "") == VariableName(kCommonVariables, "")) return text;
  return text + fmt::format(
                    " {}* takes precedence over {}*, which all programs read. Some options differ from program to "
                    "program and can only be set by the program's own variables: {}.",
                    VariableName(program.name, ""), VariableName(kCommonVariables, ""), fmt::join(own, ", "));
}

}  // namespace

std::string HelpText(const Program& program) {
  std::string out = program.about;
  for (const OptionGroup& group : program.groups) {
    out += fmt::format("\n{}\n", group.title);
    for (const ProgramOption& option : group.options) AppendOption(option, out);
  }
  out += '\n';
  AppendWrapped(OtherSourcesText(program), 0, out);
  if (!program.epilogue.empty()) out += '\n' + program.epilogue;
  return out;
}

}  // namespace dicom_sender
