// Queries of the table of a program's options.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/program_options.h"

namespace dicom_sender {

// The prefix of the variables that all programs read, as a program name.
inline constexpr std::string_view kCommonVariables = "dicom-sender";

std::vector<const ProgramOption*> OptionsOf(const Program& program);
std::string VariableName(std::string_view program_name, std::string_view option_name);
// Returns the environment variables that set the option, in order of precedence.
std::vector<std::string> VariableNames(const Program& program, const ProgramOption& option);

}  // namespace dicom_sender
