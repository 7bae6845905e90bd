// Writes the summaries of sessions that have ended.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "common/progress.h"
#include "common/time.h"
#include "coordinator/ledger/ledger_reader.h"
#include "coordinator/summary/summary.h"

namespace dicom_sender {

// Throws LedgerError. What cannot be written is logged and tried again by Retry().
class SummaryWriter {
 public:
  // `progress` is noted while something is written.
  SummaryWriter(LedgerReader& ledger, std::string output_dir, Progress progress)
      : ledger_(ledger), output_dir_(std::move(output_dir)), progress_(std::move(progress)) {}

  void Write(SessionKey session, TimePoint now);
  // Looks at one of the sessions that were there at the first call: an earlier coordinator may not have come to its
  // summary, or could not write it. False: that was the last one.
  bool WriteNextMissing(TimePoint now);
  // To be called about once a second: tries one of those that could not be written, if it is time to. A try may read
  // much, so the pauses between failures grow from a second to a minute.
  void Retry(TimePoint now);

 private:
  tl::expected<SummaryFiles, std::string> TryToWrite(const SessionSummary& summary);
  void Failed(SessionKey session, const SessionSummary& summary, const std::string& why, TimePoint now);

  LedgerReader& ledger_;
  const std::string output_dir_;
  Progress progress_;
  std::optional<std::vector<SessionKey>> unseen_;
  std::deque<SessionKey> unwritten_;  // the next to be tried first
  Duration pause_{};                  // before the next try
  TimePoint retry_at_;
};

}  // namespace dicom_sender
