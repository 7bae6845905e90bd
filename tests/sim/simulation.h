// Runs the whole system in one thread on simulated time, with every possible fault drawn from a seed. The
// coordinator's service and the worker's agent are real; network, ledger, destination, and clients are simulated (see
// world.h). When the faults stop, all sessions must complete.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace dicom_sender {

struct SimulationOptions {
  bool sqlite = false;  // true: the real ledger in a temporary folder, and one coordinator; false: a ledger in memory
  bool fence = true;    // false: former leaders can write; tests that this is detected
  // If false, a worker does not use a C-ECHO to find the cause, or blames the instance for a file that only it cannot
  // read; tests that this is detected.
  bool echo = true, unreadable = true;
  std::function<void(const std::string& line)> trace = {};  // called with a line for each event
};

struct SimulationResult {
  std::optional<std::string> violation;  // the broken invariant, and when it was broken
  std::uint64_t events = 0;
};

SimulationResult RunSimulation(std::uint64_t seed, const SimulationOptions& options);

}  // namespace dicom_sender
