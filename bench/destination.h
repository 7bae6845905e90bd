// The benchmark's destinations. Each runs in its own process and counts what it received.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "tests/support/process.h"

namespace dicom_sender {

enum class DestinationKind {
  kSink,             // our test destination, which only answers success and grants a window of 16
  kLateSink,         // the same, with a delay of 20 ms per response
  kRaw,              // not DICOM: one byte for each file
  kStorescp,         // DCMTK's, as installed: Nagle's algorithm is on
  kStorescpNoDelay,  // the same with TCP_NODELAY=1 in its environment
  kOrthanc,          // as installed, without plugins: stores on disk
};

std::string Describe(DestinationKind kind);
bool IsAvailable(DestinationKind kind);

struct Received {
  std::uint64_t instances = 0;
  std::optional<double> cpu_seconds;  // unknown for storescp, which forks
};

// Each run starts a new destination, so that no run is slowed down by the ones before it. Not thread-safe.
class Destination {
 public:
  // Listens when this returns. `folder` must exist and be empty; the destination stores its files there. Throws
  // std::runtime_error.
  Destination(DestinationKind kind, const std::filesystem::path& folder);

  std::uint16_t port() const { return port_; }
  // Ends it and returns what it received. Waits a while for `expected` instances if its log may lag behind.
  Received Stop(std::uint64_t expected);

 private:
  std::uint64_t Count() const;  // while it runs

  DestinationKind kind_;
  std::filesystem::path log_;  // of storescp
  std::uint16_t port_ = 0;
  std::uint16_t http_port_ = 0;  // of Orthanc
  std::unique_ptr<ChildProcess> process_;
  double cpu_at_start_ = 0;  // excludes its start
};

// User and system time of a process. The time of a running process has a resolution of 10 ms (one tick).
double CpuSeconds(const rusage& usage);
double CpuSecondsSoFar(pid_t process);

}  // namespace dicom_sender
