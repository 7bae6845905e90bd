// Runs the scan of a dry run.
#pragma once

#include <tl/expected.hpp>

#include "cli/console.h"
#include "common/stop_signal.h"
#include "engine/engine.h"

namespace dicom_sender {

// Waits until the indexer, which must have been started, has scanned everything, and shows its progress.
tl::expected<void, Failure> WaitForScan(Engine& engine, StopSignals& signals, Console& console);

}  // namespace dicom_sender
