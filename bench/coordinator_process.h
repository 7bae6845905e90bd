// The coordinator of the benchmark: a process of its own, so that its memory is its own and it can be killed.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "tests/support/process.h"

namespace dicom_sender {

// What a program does that was started with kServeArgument, the ledger's place (benchmark_ledger.h) and the endpoint:
// serves until it is killed.
inline constexpr const char* kServeArgument = "--serve-coordinator";
int ServeCoordinator(const std::string& place, const std::string& endpoint);

class CoordinatorProcess {
 public:
  // Starts this program again, as a coordinator. `session`: it is up when it has answered a question about it; empty:
  // when it listens. Throws std::runtime_error.
  CoordinatorProcess(const std::string& ledger, std::uint16_t port, const std::string& session);

  std::chrono::duration<double> start_time() const { return start_time_; }  // until it was up
  double PeakMebiBytes() const;                                             // resident, so far
  double CpuSeconds() const;                                                // user and system, so far
  void Kill();                                                              // SIGKILL, and waits for the end

 private:
  std::unique_ptr<ChildProcess> process_;
  std::chrono::duration<double> start_time_{};
};

}  // namespace dicom_sender
