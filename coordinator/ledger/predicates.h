// Builds SQL conditions on states from the enums, so that the stores and views do not repeat the numbers.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "coordinator/ledger/ledger_reader.h"

namespace dicom_sender {

// --- instances; `column` contains the state

std::string Sql(InstanceState state);                                         // "4"
std::string StateIs(InstanceState state, std::string_view column = "state");  // "state = 4"
std::string StateIn(std::span<const InstanceState> states, std::string_view column = "state");
std::string StateIsSettled(std::string_view column = "state");
std::string StateIsUnsettled(std::string_view column = "state");

// --- studies and sessions; `prefix` precedes the names of the Counts columns

// The number of unsettled instances, like Counts::unsettled().
std::string UnsettledInstances(std::string_view prefix = "");
std::string HasUnsettled(std::string_view prefix = "");
// True if the study or session may have an instance in one of the states. This avoids reading the instances of
// others.
std::string MayHave(std::span<const InstanceState> states, std::string_view prefix = "");
std::string MayHave(InstanceState state, std::string_view prefix = "");

// --- sessions

std::string Sql(wire::SessionState state);
std::string StateIn(std::span<const wire::SessionState> states, std::string_view column);
// True if the session is active, so it has neither an end time nor an end reason.
constexpr bool IsRunning(wire::SessionState state) {
  return state == wire::SESSION_SCANNING || state == wire::SESSION_SENDING;
}

}  // namespace dicom_sender
