// The results of a session in numbers. The console, the protocol, and the summary file all show the same
// SessionSummary, which only this file computes. SummaryWriter writes the files.
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
  WallTime end_time;            // `now` if the session has not ended
  Duration elapsed{};           // active time, without the pauses before each resume
  Duration average_transfer{};  // mean time of the successful C-STOREs, or 0
  double mib_per_second = 0;    // throughput of the successfully sent files over `elapsed`, or 0
  WorkerCount workers;          // those that held a lease
  unsigned threads_used = 0;    // simultaneous associations; by default the sum over the workers
  std::uint64_t ignored = 0;    // files that are not DICOM instances
  std::uint64_t not_read_files = 0, not_read_folders = 0;

  // total = successful + failed + skipped + pending
  std::uint64_t pending() const { return session.counts.unsettled(); }
  // True if the session has not ended, or ended before every instance had an outcome.
  bool interrupted() const { return session.state != wire::SESSION_COMPLETE; }
};

// `session` must be the current record in the ledger. Throws LedgerError.
SessionSummary Summarize(LedgerReader& ledger, SessionRecord session, WallTime now);

// Fills in the fields that come from the ledger. The scheduler knows the others, such as leases and trouble.
wire::SessionStatus ToStatus(const SessionRecord& session);
// Also reads the most frequent failure reasons from the ledger. Throws LedgerError.
wire::SessionReport ToReport(LedgerReader& ledger, const SessionSummary& summary, wire::SessionStatus status);

// True if nothing failed, nothing is a conflict, and everything could be read.
bool HasAllArrived(const SessionRecord& session);

std::uint64_t WholeMilliseconds(Duration duration);
Duration Between(WallTime from, WallTime to);  // 0 if the clock was set back in the meantime

inline constexpr std::array kFailedStates = {InstanceState::kFailed};
inline constexpr std::array kNotArrivedStates = {InstanceState::kFailed, InstanceState::kConflict};

}  // namespace dicom_sender
