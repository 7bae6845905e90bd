// Writes the summaries of sessions that have ended.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/progress.h"
#include "common/time.h"
#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

// Throws LedgerError. What cannot be written is logged.
class SummaryWriter {
 public:
  // `progress` is noted while something is written.
  SummaryWriter(Ledger& ledger, std::string output_dir, Progress progress)
      : ledger_(ledger), output_dir_(std::move(output_dir)), progress_(std::move(progress)) {}

  void Write(SessionKey session);
  // Looks at one of the sessions that were there at the first call: an earlier coordinator may not have come to its
  // summary, or could not write it. False: that was the last one.
  bool WriteNextMissing();

 private:
  Ledger& ledger_;
  const std::string output_dir_;
  Progress progress_;
  std::optional<std::vector<SessionKey>> unseen_;
};

}  // namespace dicom_sender
