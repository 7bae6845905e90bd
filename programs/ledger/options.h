// The command line of dicom-ledger. Checked here, so that what comes out can be used.
#pragma once

#include <string>

#include "cli/program_options.h"

namespace dicom_sender {

struct LedgerOptions {  // of its one command, copy
  std::string file;
  std::string uri;
};

tl::expected<LedgerOptions, EarlyExit> ParseLedgerOptions(int argc, const char* const* argv,
                                                          const Environment& environment = ProcessEnvironment);

}  // namespace dicom_sender
