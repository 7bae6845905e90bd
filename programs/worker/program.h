// Runs dicom-worker: the worker's loop in a process of its own.
#pragma once

#include <string>
#include <tl/expected.hpp>

#include "cli/exit_status.h"
#include "common/stop_signal.h"
#include "programs/worker/options.h"

namespace dicom_sender {

// Why the worker ends, and its exit status.
struct WorkerFailure {
  int exit_status = kExitInternal;
  std::string reason;
};

// Works until it is drained or aborted; returns the exit status.
tl::expected<int, WorkerFailure> RunWorkerProgram(const WorkerProgramOptions& options, StopSignals& signals);

}  // namespace dicom_sender
