#include "cli/option_table.h"

#include <fmt/format.h>

namespace dicom_sender {

std::vector<const ProgramOption*> OptionsOf(const Program& program) {
  std::vector<const ProgramOption*> options;
  for (const OptionGroup& group : program.groups) {
    for (const ProgramOption& option : group.options) options.push_back(&option);
  }
  return options;
}

std::string VariableName(std::string_view program_name, std::string_view option_name) {
  std::string name = fmt::format("{}-{}", program_name, option_name);
  for (char& c : name) c = c == '-' ? '_' : static_cast<char>(c - 'a' + 'A');
  return name;
}

std::vector<std::string> VariableNames(const Program& program, const ProgramOption& option) {
  std::vector<std::string> names = {VariableName(program.name, option.name)};
  const std::string common = VariableName(kCommonVariables, option.name);
  if (!option.own_variable && common != names[0]) names.push_back(common);
  return names;
}

}  // namespace dicom_sender
