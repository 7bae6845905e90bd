// Chooses the session of a command: a new one, or one that it continues.
#pragma once

#include <string>
#include <tl/expected.hpp>

#include "engine/engine.h"
#include "programs/sender/options.h"

namespace dicom_sender {

struct ChosenSession {
  // If a session is continued, `resume` is its whole ID, and the settings that were not given have its values.
  SenderOptions options;
  std::string notice;                 // for the console if it continues a session without --resume; otherwise empty
  std::vector<std::string> warnings;  // about ledgers that could not be read
};

// Reads the ledgers in the output folder and changes nothing.
tl::expected<ChosenSession, Failure> ChooseSession(SenderOptions options);

}  // namespace dicom_sender
