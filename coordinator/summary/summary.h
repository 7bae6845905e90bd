// What became of a session, as numbers: for the console, the wire, and the summary file. All of them show one
// SessionSummary, which is computed here and nowhere else. SummaryWriter writes the files.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "common/time.h"
#include "coordinator/ledger/ledger_reader.h"

namespace dicom_sender {

inline constexpr std::size_t kReportedReasonsMax = 20;

struct SessionSummary {
  SessionRecord session;
  WallTime end_time;            // of the session, or `now` if it has not ended
  Duration elapsed{};           // that it was worked on, without the pauses before a resume
  Duration average_transfer{};  // of the successful C-STOREs; 0 if there are none
  double mib_per_second = 0;    // of the successfully sent files, over `elapsed`; 0 if that is 0
  WorkerCount workers;          // that held a lease
  unsigned threads_used = 0;  // associations allowed at the same time: those of the workers, if nobody says otherwise
  std::uint64_t ignored = 0;  // files that are not DICOM instances
  std::uint64_t not_read_files = 0, not_read_folders = 0;

  // Total = successful + failed + skipped + pending.
  std::uint64_t pending() const { return session.counts.unsettled(); }
  // It ended before every instance had its outcome, or has not ended.
  bool interrupted() const { return session.state != wire::SESSION_COMPLETE; }
};

// `session`: as the ledger has it now. Throws LedgerError.
SessionSummary Summarize(LedgerReader& ledger, SessionRecord session, WallTime now);

// What the ledger knows of a session. Leases and troubles are the scheduler's.
wire::SessionStatus ToStatus(const SessionRecord& session);
// With the most frequent reasons for failures, which it reads from the ledger. Throws LedgerError.
wire::SessionReport ToReport(LedgerReader& ledger, const SessionSummary& summary, wire::SessionStatus status);

// Nothing has failed, is in conflict, or could not be read.
bool HasAllArrived(const SessionRecord& session);

std::uint64_t WholeMilliseconds(Duration duration);
Duration Between(WallTime from, WallTime to);  // 0 if the clock was set back in between

inline constexpr std::array kFailedStates = {InstanceState::kFailed};
inline constexpr std::array kNotArrivedStates = {InstanceState::kFailed, InstanceState::kConflict};

}  // namespace dicom_sender
