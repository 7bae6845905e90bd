// Writes the summaries of sessions that have ended.
#pragma once

#include <string>

#include "common/time.h"
#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

// Throws LedgerError. What cannot be written is logged.
class SummaryWriter {
 public:
  SummaryWriter(Ledger& ledger, std::string output_dir) : ledger_(ledger), output_dir_(std::move(output_dir)) {}

  void Write(SessionKey session);
  // Those that an earlier coordinator did not come to, or could not write.
  void WriteMissing();

 private:
  Ledger& ledger_;
  const std::string output_dir_;
};

}  // namespace dicom_sender
