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

// Nothing has failed, is in conflict, or could not be read.
bool HasAllArrived(const wire::SessionStatus& status);

// Of a session that has ended, or that is not waited for any more.
int ExitStatusOf(const wire::SessionStatus& status);

}  // namespace dicom_sender
