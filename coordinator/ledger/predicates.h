// Conditions on states in SQL, made from the enums. The stores and the views spell no state as a number themselves.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "coordinator/ledger/ledger_reader.h"

namespace dicom_sender {

// --- instances, by the column that has their state

std::string Sql(InstanceState state);                                         // "4"
std::string StateIs(InstanceState state, std::string_view column = "state");  // "state = 4"
std::string StateIn(std::span<const InstanceState> states, std::string_view column = "state");
std::string StateIsSettled(std::string_view column = "state");
std::string StateIsUnsettled(std::string_view column = "state");

// --- studies and sessions, by the columns of their Counts, which begin with `prefix`

// How many instances are unsettled, as Counts::unsettled().
std::string UnsettledInstances(std::string_view prefix = "");
std::string HasUnsettled(std::string_view prefix = "");
// It may have an instance in one of the states. The instances of other studies need not be read.
std::string MayHave(std::span<const InstanceState> states, std::string_view prefix = "");
std::string MayHave(InstanceState state, std::string_view prefix = "");

// --- sessions

std::string Sql(wire::SessionState state);
std::string StateIn(std::span<const wire::SessionState> states, std::string_view column);
// The session is worked on: it has neither an end time nor an end reason.
constexpr bool IsRunning(wire::SessionState state) {
  return state == wire::SESSION_SCANNING || state == wire::SESSION_SENDING;
}

}  // namespace dicom_sender
