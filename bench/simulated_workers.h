// A thousand workers in a few threads. Each has the real Agent and its own connection, but no files: every instance
// counts as stored at once.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>
#include <zmq.hpp>

namespace dicom_sender {

struct SimulatedWorkersOptions {
  std::string endpoint;
  unsigned workers = 1000;
  unsigned capacity = 4;  // associations per worker
  unsigned threads = 1;
};

class SimulatedWorkers {
 public:
  // The workers run from construction to destruction. `context` must allow one socket for each of them.
  SimulatedWorkers(zmq::context_t& context, const SimulatedWorkersOptions& options);

  std::uint64_t leases() const { return leases_; }  // number of started leases

 private:
  void Run(std::stop_token stop, zmq::context_t& context, const SimulatedWorkersOptions& options, unsigned first);

  std::atomic<std::uint64_t> leases_ = 0;
  std::vector<std::jthread> threads_;  // declared last: the threads use the other members
};

}  // namespace dicom_sender
