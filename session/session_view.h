// Formats the coordinator's messages about a session for people. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cli/render.h"
#include "client.pb.h"
#include "common/time.h"
#include "proto/session_state.h"

namespace dicom_sender {

// "sending", "sending (stopping)": the states are those of JSON and SQL.
std::string StateText(const wire::SessionStatus& status);

// The part of the instances to send that is stored: "42%", or "-" if it is not known yet.
std::string PercentText(const wire::SessionStatus& status);

std::string ClockText(std::int64_t ms);  // formats milliseconds since the epoch as UTC with seconds

std::string DimseStatusText(std::uint32_t status);  // "A700"
// The reason without its leading status, because the status is shown in its own column.
std::string_view ReasonOf(const wire::FailureList::Entry& failure);

ProgressView ProgressOf(const wire::SessionStatus& status, Duration elapsed);

// The result has no log file.
SummaryView SummaryOf(const wire::SessionReport& report);

// Returns whether nothing failed, is a conflict, or could not be read.
bool HasAllArrived(const wire::SessionStatus& status);

// The exit status for a session that has ended or for which the program no longer waits.
int ExitStatusOf(const wire::SessionStatus& status);

}  // namespace dicom_sender
