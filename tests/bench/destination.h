// The destinations of the benchmark, each a process of its own that stores nothing and counts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "tests/support/process.h"

namespace dicom_sender {

enum class DestinationKind {
  kSink,             // our test destination, which only answers success
  kStorescp,         // DCMTK's, as installed: Nagle's algorithm on
  kStorescpNoDelay,  // the same with TCP_NODELAY=1 in its environment
};

std::string Describe(DestinationKind kind);

struct Received {
  std::uint64_t instances = 0;
  std::optional<double> cpu_seconds;  // unknown of storescp, which forks
};

// Fresh for every run, so that no run pays for the ones before it. Not thread-safe.
class Destination {
 public:
  // Listens when this returns. `folder` exists and is empty: storescp's log goes there. Throws std::runtime_error.
  Destination(DestinationKind kind, const std::filesystem::path& folder);

  std::uint16_t port() const { return port_; }
  // Ends it. `expected` instances are waited for, not believed.
  Received Stop(std::uint64_t expected);

 private:
  DestinationKind kind_;
  std::filesystem::path log_;  // of storescp
  std::uint16_t port_ = 0;
  std::unique_ptr<ChildProcess> process_;
};

// User and system time.
double CpuSeconds(const rusage& usage);

}  // namespace dicom_sender
