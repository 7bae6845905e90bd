// The Scheduler against a model of it that is plain enough to be believed (naive_scheduler.h): both go through the
// same events, made up from bytes, and after each of them must have said the same and know the same.
//
// What is compared is what somebody depends on: the changes of each study, of each session and of the instances, in
// their order; the acknowledgements to each worker, in theirs, and the grants to it; when to be woken at the latest;
// everything that can be asked.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace dicom_sender {

inline constexpr std::size_t kDuelEventsMax = 400;

// Any bytes are a duel. Returns where the two differ, after the events that led there; nullopt: nowhere.
std::optional<std::string> RunSchedulerDuel(std::span<const std::uint8_t> bytes);

}  // namespace dicom_sender
