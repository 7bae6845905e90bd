// The ledgers that the benchmarks compare. Each lives in a temporary place and is as durable as in production.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

class BenchmarkLedger {
 public:
  // "sqlite", and "postgresql" if it is built in and a server can be started.
  static std::vector<std::string> Kinds();
  // Starts the server that the ledger needs, if any. Throws std::runtime_error.
  static std::unique_ptr<BenchmarkLedger> Make(const std::string& kind);
  virtual ~BenchmarkLedger() = default;

  virtual std::string name() const = 0;
  virtual std::string place() const = 0;    // for OpenLedgerAt
  virtual std::uint64_t Bytes() const = 0;  // on disk
  std::unique_ptr<Ledger> Open() const;
};

// `place` is a file or the URI of a database. The returned ledger is the leader's. Throws std::runtime_error with the
// reason.
std::unique_ptr<Ledger> OpenLedgerAt(const std::string& place);

}  // namespace dicom_sender
