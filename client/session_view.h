// A session as the coordinator tells it, made fit for a person. Pure.
#pragma once

#include <cstdint>

#include "cli/render.h"
#include "client.pb.h"
#include "common/time.h"

namespace dicom_sender {

bool HasEnded(wire::SessionState state);

ProgressView ProgressOf(const wire::SessionStatus& status, Duration elapsed);

// Without the log file.
SummaryView SummaryOf(const wire::SessionReport& report);

// Files and folders of which nobody knows what is in them.
std::uint64_t UnreadableIn(const wire::SessionStatus& status);

// Of a session that has ended, or that is not waited for any more. Nobody may say that all is stored where something
// could not be read.
int ExitStatusOf(const wire::SessionStatus& status);

}  // namespace dicom_sender
