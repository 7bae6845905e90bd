// A thousand workers in a few threads: the real Agent, each with a connection of its own, and no files. Every
// instance is answered with success at once.
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
  unsigned capacity = 4;  // associations of each
  unsigned threads = 1;
};

class SimulatedWorkers {
 public:
  // They run when this returns, until the end of the object. `context` must allow as many sockets.
  SimulatedWorkers(zmq::context_t& context, const SimulatedWorkersOptions& options);

  std::uint64_t leases() const { return leases_; }  // started so far

 private:
  void Run(std::stop_token stop, zmq::context_t& context, const SimulatedWorkersOptions& options, unsigned first);

  std::atomic<std::uint64_t> leases_ = 0;
  std::vector<std::jthread> threads_;  // last: they use the rest
};

}  // namespace dicom_sender
