// One run of the whole system in one thread, on simulated time, with everything that may go wrong drawn from a seed:
// the real coordinator's service and the real worker's agent between a simulated network, ledger, destination and
// clients (world.h says what each does). When the faults stop, everything must come to its end.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace dicom_sender {

struct SimulationOptions {
  bool sqlite = false;  // the real ledger, in a temporary folder, and one coordinator; otherwise one in memory
  bool fence = true;    // without it, a former leader can write: to see that this is found
  // Without these, a worker asks by no C-ECHO, or blames the instance for what it cannot read itself: to see that
  // this is found.
  bool echo = true, unreadable = true;
  std::function<void(const std::string& line)> trace = {};  // takes a line for each event
};

struct SimulationResult {
  std::optional<std::string> violation;  // what did not hold, and when
  std::uint64_t events = 0;
};

SimulationResult RunSimulation(std::uint64_t seed, const SimulationOptions& options);

}  // namespace dicom_sender
