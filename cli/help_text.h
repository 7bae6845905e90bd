// Generates the text of --help from the table of a program's options.
#pragma once

#include <string>

#include "cli/program_options.h"

namespace dicom_sender {

std::string HelpText(const Program& program);

}  // namespace dicom_sender
