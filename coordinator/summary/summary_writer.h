// Writes the summaries of sessions that have ended. Every program that writes one uses this class.
//
// `dicom_sender_summary_<session>.json`: the fields are in README.md, "Summary". Further:
// - studies_processed has the studies of which at least one instance has an outcome. The group of the files
//   without a Study Instance UID is in `studies`, with an empty UID, but not in studies_processed.
// - total_time_ms is the time that the session was worked on: pauses before a resume are not included.
// - `status` is the DIMSE status as four hexadecimal digits, or null if the destination did not answer.
// - `worker` is the one that reported the outcome, or null if none did: a defect that the scan found, a duplicate.
// - Bytes that are not UTF-8 (file names are bytes) are replaced by U+FFFD.
// `dicom_sender_summary_<session>_failures.ndjson`: what did not arrive, one JSON object per line, each as in
// `failures`, and with its `kind`: "failed", "conflict", or "not_read" for a file or folder that could not be read.
// The file exists only if something did not arrive.
//
// Memory does not grow with studies or failures. For sessions that do not change meanwhile: by the thread of the
// coordinator's loop, or when that has ended. All functions throw LedgerError.
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

struct SummaryFiles {
  std::string summary;
  std::string failures;  // empty: there are none
};
SummaryFiles SummaryFilesOf(const std::string& output_dir, const SessionRecord& session);

class SummaryWriter {
 public:
  // `progress` is noted while something is written.
  SummaryWriter(LedgerReader& ledger, std::string output_dir, Progress progress = {})
      : ledger_(ledger), output_dir_(std::move(output_dir)), progress_(std::move(progress)) {}

  // Replaces the files of an earlier end of the session. Each file exists as a whole or not at all, and the summary
  // is written after the failures. The error is one sentence with the path: disk full, not writable. Not tried again.
  tl::expected<SummaryFiles, std::string> WriteOnce(const SessionSummary& summary);

  // For a coordinator: writes the summary, and logs how the session ended. What cannot be written is tried again by
  // Retry().
  void Write(SessionKey session, TimePoint now);
  // Looks at one of the sessions that were in the ledger at the first call: an earlier coordinator may have ended
  // before it wrote the summary, or could not write it. False: that was the last one.
  bool WriteNextMissing(TimePoint now);
  // Call it about once a second: it tries one of the summaries that could not be written, if one is due. A try may
  // read much, so the pauses between failures grow from a second to a minute.
  void Retry(TimePoint now);

 private:
  void Write(SessionRecord session, TimePoint now);
  tl::expected<SummaryFiles, std::string> WriteIfFolderIsThere(const SessionSummary& summary);
  void Failed(const SessionRecord& session, const std::string& why, TimePoint now);

  LedgerReader& ledger_;
  const std::string output_dir_;
  Progress progress_;
  std::optional<std::vector<SessionKey>> unseen_;
  std::deque<SessionKey> unwritten_;  // the next to be tried first
  Duration pause_{};                  // before the next try
  TimePoint retry_at_;
};

}  // namespace dicom_sender
