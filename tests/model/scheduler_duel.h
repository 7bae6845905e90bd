// Compares the Scheduler with a simple model of it (naive_scheduler.h). Both process the same events, which are
// derived from bytes, and must produce the same output and the same state after each of them.
//
// The comparison covers everything that other parts depend on: the order of the changes of each study, each session,
// and the instances; the order of the acknowledgements to each worker, and its grants; the latest time to wake up;
// and everything that can be queried.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace dicom_sender {

inline constexpr std::size_t kDuelEventsMax = 400;

// Every sequence of bytes is a duel. Returns the first difference, preceded by the events that led to it; nullopt if
// there is none.
std::optional<std::string> RunSchedulerDuel(std::span<const std::uint8_t> bytes);

}  // namespace dicom_sender
