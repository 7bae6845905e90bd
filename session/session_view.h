// A session as the coordinator tells it, made fit for a person. Pure.
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

// How much of what is to be sent is stored: "42%"; "-" where that is not known yet.
std::string PercentText(const wire::SessionStatus& status);

std::string ClockText(std::int64_t ms);  // UTC, with seconds, of milliseconds since the epoch

std::string DimseStatusText(std::uint32_t status);  // "A700"
// Without the status that it begins with, which is shown beside it.
std::string_view ReasonOf(const wire::FailureList::Entry& failure);

ProgressView ProgressOf(const wire::SessionStatus& status, Duration elapsed);

// Without the log file.
SummaryView SummaryOf(const wire::SessionReport& report);

// Nothing has failed, is in conflict, or could not be read.
bool HasAllArrived(const wire::SessionStatus& status);

// The exit status for a session that has ended, or that the program stopped waiting for.
int ExitStatusOf(const wire::SessionStatus& status);

}  // namespace dicom_sender
