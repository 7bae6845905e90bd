// Runs the commands of dicom-ctl: sends requests to the coordinator and prints the replies.
#pragma once

#include <functional>
#include <string>
#include <tl/expected.hpp>

#include "programs/ctl/options.h"
#include "transport/coordinator_client.h"

namespace dicom_sender {

inline constexpr int kExitDone = 0;
inline constexpr int kExitRefused = 1;
inline constexpr int kExitNoAnswer = 3;

struct CtlFailure {
  int exit_status = kExitRefused;
  std::string reason;
};

// Receives the output piece by piece.
using CtlOutput = std::function<void(const std::string& text)>;

tl::expected<void, CtlFailure> RunCommand(const CtlOptions& options, const CtlOutput& output);

}  // namespace dicom_sender
