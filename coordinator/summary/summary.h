// What became of a session, read from the ledger alone: as numbers for the console, and as the report files.
//
// `dicom_sender_summary_<session>.json`: the fields are in README.md, "Summary". Further:
// - studies_processed has the studies of which at least one instance has an outcome. The group of the files
//   without a Study Instance UID is in `studies`, with an empty UID, but not in studies_processed.
// - total_time_ms is the time that the session was worked on: pauses before a resume are not included.
// - `status` is the DIMSE status as four hexadecimal digits, or null if the destination did not answer.
// - `worker` is the one that reported the outcome, or null if none did: a defect that the scan found, a duplicate.
// - Whatever is no UTF-8 (file names are bytes) is replaced by U+FFFD.
// `dicom_sender_summary_<session>_failures.ndjson`: what did not arrive, one JSON object a line, each as in
// `failures`, and with its `kind`: "failed", "conflict", or "not_read" for a file or folder that could not be read.
// Only if there is any.
//
// Memory does not grow with studies or failures. For a session that is not being changed meanwhile: by the thread of
// the coordinator's loop, or when that has ended. Both functions throw LedgerError.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <tl/expected.hpp>

#include "common/progress.h"
#include "common/time.h"
#include "coordinator/ledger/ledger_reader.h"

namespace dicom_sender {

inline constexpr int kSummarySchemaVersion = 1;
inline constexpr std::size_t kReportedInstancesMax = 1000;  // in each list of the summary file
inline constexpr std::size_t kSummaryReasonsMax = 20;

struct SessionSummary {
  SessionRecord session;
  WallTime end_time;            // of the session, or `now` if it has not ended
  Duration elapsed{};           // that it was worked on
  Duration average_transfer{};  // of the successful C-STOREs; 0 if there are none
  double mib_per_second = 0;    // of the successfully sent files, over `elapsed`; 0 if that is 0
  WorkerCount workers;          // that held a lease
  std::uint64_t ignored = 0;    // files that are no DICOM instance
  std::uint64_t not_read_files = 0, not_read_folders = 0;
  FailureReasons failure_reasons;  // the most frequent ones, at most kSummaryReasonsMax

  // Total = successful + failed + skipped + pending.
  std::uint64_t pending() const { return session.counts.unsettled(); }
  // It ended before every instance had its outcome, or has not ended.
  bool interrupted() const { return session.state != wire::SESSION_COMPLETE; }
};

SessionSummary Summarise(LedgerReader& ledger, SessionKey session, WallTime now);

// What the ledger knows of them. Leases and troubles are the scheduler's.
wire::SessionStatus ToStatus(const SessionRecord& session);
wire::SessionReport ToReport(const SessionSummary& summary);

inline constexpr std::array kFailedStates = {InstanceState::kFailed};
inline constexpr std::array kNotArrivedStates = {InstanceState::kFailed, InstanceState::kConflict};

struct SummaryFiles {
  std::string summary;
  std::string failures;  // empty: there are none
};
SummaryFiles SummaryFilesOf(const std::string& output_dir, const SessionRecord& session);

// Writes the files into `output_dir`, replacing those of an earlier end of the session. Each is there as a whole or
// not at all, and the summary only after the failures. The error is one sentence with the path: disk full, not
// writable. `progress` is noted at each page that is read.
tl::expected<SummaryFiles, std::string> WriteSummary(LedgerReader& ledger, const SessionSummary& summary,
                                                     const std::string& output_dir, unsigned threads_used,
                                                     Progress progress = {});

}  // namespace dicom_sender
