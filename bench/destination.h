// The destinations of the benchmark, each a process of its own that counts what it received.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "tests/support/process.h"

namespace dicom_sender {

enum class DestinationKind {
  kSink,             // our test destination, which only answers success; grants a window of 16
  kLateSink,         // the same, each answer 20 ms late
  kRaw,              // no DICOM: one byte for each file
  kStorescp,         // DCMTK's, as installed: Nagle's algorithm on
  kStorescpNoDelay,  // the same with TCP_NODELAY=1 in its environment
  kOrthanc,          // as installed, without plugins: it stores on disk
};

std::string Describe(DestinationKind kind);
bool IsAvailable(DestinationKind kind);

struct Received {
  std::uint64_t instances = 0;
  std::optional<double> cpu_seconds;  // unknown of storescp, which forks
};

// Fresh for every run, so that no run pays for the ones before it. Not thread-safe.
class Destination {
 public:
  // Listens when this returns. `folder` exists and is empty: what it writes goes there. Throws std::runtime_error.
  Destination(DestinationKind kind, const std::filesystem::path& folder);

  std::uint16_t port() const { return port_; }
  // Ends it. `expected` instances are waited for, not believed.
  Received Stop(std::uint64_t expected);

 private:
  std::uint64_t Count() const;  // while it runs

  DestinationKind kind_;
  std::filesystem::path log_;  // of storescp
  std::uint16_t port_ = 0;
  std::uint16_t http_port_ = 0;  // of Orthanc
  std::unique_ptr<ChildProcess> process_;
  double cpu_at_start_ = 0;  // its start is not the sender's doing
};

// User and system time: of a process that has ended, and, in ticks of 10 ms, of one that runs.
double CpuSeconds(const rusage& usage);
double CpuSecondsSoFar(pid_t process);

}  // namespace dicom_sender
