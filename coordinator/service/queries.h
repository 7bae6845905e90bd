// Answers the requests that change nothing, from the ledger and the scheduler.
//
// Lists are paged or truncated, so that every reply is far below kMessageBytesMax. Throws LedgerError. Not
// thread-safe.
#pragma once

#include <set>
#include <span>
#include <string>

#include "common/time.h"
#include "coordinator/ledger/ledger_reader.h"
#include "coordinator/scheduler/scheduler.h"
#include "coordinator/service/paces.h"
#include "status.pb.h"

namespace dicom_sender {

inline constexpr std::uint32_t kListedStudiesMax = 1000;
inline constexpr std::uint32_t kListedSessionsMax = 100;
inline constexpr std::uint32_t kListedFailuresMax = 300;
inline constexpr std::size_t kListedWorkersMax = 10'000;
inline constexpr std::size_t kSummaryPartBytes = 1 << 20;
inline constexpr std::size_t kShownSuspendedMax = 100, kShownEndedMax = 20;  // sessions in the Overview

wire::FailureList::Entry ToEntry(const ReportedInstance& failure);
wire::FailureList::Entry ToEntry(const UnreadPath& unread);

class Queries {
 public:
  // `output_dir` contains the summary files; empty if none are written.
  Queries(LedgerReader& ledger, const Scheduler& scheduler, const SessionPaces& paces, std::string output_dir)
      : ledger_(ledger), scheduler_(scheduler), paces_(paces), output_dir_(std::move(output_dir)) {}

  // These take the current record of the session.
  wire::ClientReply Status(const SessionRecord& session, TimePoint now) const;
  wire::ClientReply Report(const SessionRecord& session, TimePoint now, WallTime wall) const;
  wire::ClientReply Summary(const SessionRecord& session, std::uint64_t offset) const;
  wire::ClientReply Studies(const SessionRecord& session, const wire::ListStudies& request) const;
  wire::ClientReply Copies(const SessionRecord& session, const wire::ListCopies& request) const;
  wire::ClientReply Failures(const SessionRecord& session, const wire::ListFailures& request) const;

  wire::ClientReply Sessions(const wire::ListSessions& request, TimePoint now) const;
  wire::ClientReply Workers(TimePoint now) const;
  std::string InWords(const QuarantineSubject& subject) const;  // "destination AE:port@host"
  wire::ClientReply Destinations(TimePoint now) const;
  // For the status page, without failures. `open`: all open sessions, by ascending key; `suspended`: all suspended
  // sessions.
  wire::Overview Overview(std::span<const SessionRecord> open, const std::set<SessionKey>& suspended, TimePoint now,
                          WallTime wall) const;

 private:
  wire::SessionStatus StatusOf(const SessionRecord& record, TimePoint now) const;
  std::string WaitsFor(const wire::SessionStatus& status, TimePoint now) const;
  std::string WaitsForWorkers(TimePoint now) const;
  wire::SessionStatus BriefStatusOf(const SessionRecord& record, TimePoint now) const;  // for lists

  LedgerReader& ledger_;
  const Scheduler& scheduler_;
  const SessionPaces& paces_;
  const std::string output_dir_;
};

}  // namespace dicom_sender
