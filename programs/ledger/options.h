// The command line of dicom-ledger. The parser checks all of it, so that the program can rely on it.
#pragma once

#include <string>

#include "cli/program_options.h"

namespace dicom_sender {

struct LedgerOptions {  // for `copy`, the only command
  std::string file;
  std::string uri;
};

tl::expected<LedgerOptions, EarlyExit> ParseLedgerOptions(int argc, const char* const* argv,
                                                          const Environment& environment = ProcessEnvironment);

}  // namespace dicom_sender
