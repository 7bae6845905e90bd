// What the table of a program's options says, for the parts that read it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/program_options.h"

namespace dicom_sender {

// The variables that all programs read begin with this name.
inline constexpr std::string_view kCommonVariables = "dicom-sender";

std::vector<const ProgramOption*> OptionsOf(const Program& program);
std::string VariableName(std::string_view program_name, std::string_view option_name);
// The variables that the option is read from, in their order of precedence.
std::vector<std::string> VariableNames(const Program& program, const ProgramOption& option);

}  // namespace dicom_sender
