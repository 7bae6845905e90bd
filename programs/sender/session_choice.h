// Which session a command is about: a new one, or one that it continues.
#pragma once

#include <string>
#include <tl/expected.hpp>

#include "engine/engine.h"
#include "programs/sender/options.h"

namespace dicom_sender {

struct ChosenSession {
  // `resume` is the session's whole id, if it goes on; then the settings that were not given are those that it had.
  SenderOptions options;
  std::string notice;                 // for the console: which one it continues unasked; empty: none
  std::vector<std::string> warnings;  // ledgers that could not be looked at
};

// Looks at the ledgers in the output folder, and changes nothing.
tl::expected<ChosenSession, Failure> ChooseSession(SenderOptions options);

}  // namespace dicom_sender
