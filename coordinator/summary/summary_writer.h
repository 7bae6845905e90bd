// Writes the summaries of sessions that have ended, for all programs.
//
// README.md, "Summary", describes the fields of `dicom_sender_summary_<session>.json`. In addition:
// - studies_processed lists the studies with at least one instance that has an outcome. The files without a Study
//   Instance UID form a group that is in `studies`, with an empty UID, but not in studies_processed.
// - total_time_ms excludes the pauses before each resume.
// - `status` is the DIMSE status as four hexadecimal digits, or null if the destination did not answer.
// - `worker` is the worker that reported the outcome, or null for a duplicate or a defect that the scan found.
// - U+FFFD replaces bytes that are not UTF-8; file names may contain any bytes.
// `dicom_sender_summary_<session>_failures.ndjson` lists what did not arrive, one JSON object per line. An object has
// the fields of an entry in `failures`, and a `kind`: "failed", "conflict", or "not_read" for a file or folder that
// could not be read. The file exists only if something did not arrive.
//
// The memory that this takes does not depend on the number of studies or failures. The sessions must not change in
// the meantime, so only the thread of the coordinator's loop may call these functions while the loop runs. All
// functions throw LedgerError.
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
  std::string failures;  // empty if everything arrived
};
SummaryFiles SummaryFilesOf(const std::string& output_dir, const SessionRecord& session);

class SummaryWriter {
 public:
  // Notes `progress` while it writes.
  SummaryWriter(LedgerReader& ledger, std::string output_dir, Progress progress = {})
      : ledger_(ledger), output_dir_(std::move(output_dir)), progress_(std::move(progress)) {}

  // Replaces the files that were written when the session ended before. Writes each file atomically, and the summary
  // last. The error is one sentence that names the path, for example because the disk is full. Does not retry.
  tl::expected<SummaryFiles, std::string> WriteOnce(const SessionSummary& summary);

  // For a coordinator: writes the summary, and logs how the session ended. If writing fails, Retry() tries again.
  void Write(SessionKey session, TimePoint now);
  // Checks one of the sessions that were in the ledger at the first call, and writes its summary if an earlier
  // coordinator did not. Returns false after the last session.
  bool WriteNextMissing(TimePoint now);
  // Retries one of the summaries that could not be written, if a retry is due. Call it about once per second. Because
  // a retry may read a lot, the pause after each failure grows from one second to one minute.
  void Retry(TimePoint now);

 private:
  void Write(SessionRecord session, TimePoint now);
  tl::expected<SummaryFiles, std::string> WriteIfFolderIsThere(const SessionSummary& summary);
  void Failed(const SessionRecord& session, const std::string& why, TimePoint now);

  LedgerReader& ledger_;
  const std::string output_dir_;
  Progress progress_;
  std::optional<std::vector<SessionKey>> unseen_;
  std::deque<SessionKey> unwritten_;  // in the order of their retries
  Duration pause_{};                  // before the next retry
  TimePoint retry_at_;
};

}  // namespace dicom_sender
