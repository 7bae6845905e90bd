// The options of dicom-coordinator. The parser checks all of them, so that the program can rely on them.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "cli/service_options.h"

namespace dicom_sender {

inline constexpr std::chrono::seconds kDefaultLeaderTimeout(5);

struct CoordinatorOptions {
  std::string bind = "tcp://127.0.0.1:5555";
  std::optional<std::string> server_key, client_keys;  // a file and a folder; either both are set or neither is
  bool insecure = false;

  std::string ledger;                  // a file, or the URI of a database: see coordinator/ledger/postgresql/
  std::string output_dir = ".";        // exists and is writable
  std::chrono::seconds lease_ttl{60};  // 5 to 3600; with a URI, longer than a failover
  std::optional<std::chrono::milliseconds> leader_timeout;  // 1 s to 60 s; only with a URI
  std::uint32_t associations_max = 0;                       // to one destination; 0: no limit
  std::uint32_t attempts_max = 0;  // of one instance, whatever its session allows; 0: no limit
  ServiceOptions service;
};

// Creates the output folder if it is missing; has no other side effects.
tl::expected<CoordinatorOptions, EarlyExit> ParseCoordinatorOptions(
    int argc, const char* const* argv, const Environment& environment = ProcessEnvironment);

}  // namespace dicom_sender
