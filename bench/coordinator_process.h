// The benchmark's coordinator. It runs in its own process, so that its memory can be measured and it can be killed.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "tests/support/process.h"

namespace dicom_sender {

// The main function of a program that was started with kServeArgument, the ledger's place (benchmark_ledger.h), and
// the endpoint: serves until it is killed.
inline constexpr const char* kServeArgument = "--serve-coordinator";
int ServeCoordinator(const std::string& place, const std::string& endpoint);

class CoordinatorProcess {
 public:
  // Starts this program again as a coordinator. Waits until it answers a question about `session`, or, if that is
  // empty, until it listens. Throws std::runtime_error.
  CoordinatorProcess(const std::string& ledger, std::uint16_t port, const std::string& session);

  std::chrono::duration<double> start_time() const { return start_time_; }  // until it was ready
  double PeakMebiBytes() const;                                             // resident memory
  double CpuSeconds() const;                                                // user and system time
  void Kill();  // sends SIGKILL and waits for the process to end

 private:
  std::unique_ptr<ChildProcess> process_;
  std::chrono::duration<double> start_time_{};
};

}  // namespace dicom_sender
