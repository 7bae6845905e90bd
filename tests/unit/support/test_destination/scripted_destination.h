// Starts a scripted test destination in one line.
#pragma once

#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>

#include "tests/support/test_destination/test_destination.h"

namespace dicom_sender {

inline constexpr std::chrono::milliseconds kLong{20000};  // only a failing test waits so long

inline DestinationBehaviour ScriptedBehaviour(const std::string& script) {
  const auto behaviour = ParseBehaviour(script);
  if (!behaviour) throw std::invalid_argument(behaviour.error());
  return *behaviour;
}

// Returns a started destination that behaves as the script says.
class Destination : public TestDestination {
 public:
  explicit Destination(const std::string& script = "", DestinationOptions options = {})
      : TestDestination(std::move(options), ScriptedBehaviour(script)) {
    if (const auto started = Start(); !started) throw std::runtime_error(started.error());
  }
  AssociationRecord Ended(std::uint64_t number = 1) const {
    const bool ended = WaitFor(
        [&](const DestinationLog& log) {
          return log.associations.size() >= number && log.associations[number - 1].end != AssociationEnd::kOpen;
        },
        kLong);
    return ended ? Log().associations[number - 1] : AssociationRecord{};
  }
};

}  // namespace dicom_sender
