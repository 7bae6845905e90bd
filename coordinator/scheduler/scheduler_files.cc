// Attributes failures to read files, and decides how long to wait for them. The rules are in scheduler.h.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "coordinator/scheduler/scheduler.h"

namespace dicom_sender {

// The wait begins when no other worker may be able to read the file. It restarts if such a worker was available in
// the meantime.
void Scheduler::NoteUnreadable(const Lease& lease, const wire::Outcome& outcome, TimePoint now) {
  Study& study = studies_.at(lease.study);
  Session& session = sessions_.at(study.session);
  if (OthersMayRead(study, lease.worker)) {
    study.unreadable_since.reset();
    session.unreadable_since.reset();
    return;
  }
  if (!study.unreadable_since) study.unreadable_since = now;
  if (!outcome.storage_away()) return;
  if (!session.unreadable_since) session.unreadable_since = now;
  session.unreadable_detail = outcome.reason();
}

// The instance fails if no other worker may be able to read it and the wait for storage that is away has ended.
void Scheduler::JudgeUnreadable(const Reported& event, bool storage_away, TimePoint now,
                                InstanceChange& change) const {
  const auto lease = leases_.find(event.lease);
  const auto study = studies_.find(event.study);
  if (lease == leases_.end() || study == studies_.end()) return;
  const std::string& worker = lease->second.worker;
  const bool certain = !storage_away && AllMiss(study->second, worker);
  const bool waits = !certain && !StoragePatienceIsOver(study->second, now);
  if (waits || OthersMayRead(study->second, worker)) {
    change.state = InstanceState::kDelayed;
  } else {
    change.reason = NotReadableBy(study->second, worker, change.reason);
  }
}

// True if every worker has its storage, but the study's file is missing there. A single worker is not enough, because
// workers that connect later may have other storage.
bool Scheduler::AllMiss(const Study& study, const std::string& worker) const {
  std::size_t readers = 0;
  for (const auto& [name, other] : workers_) {
    if (!MayReadFiles(other)) continue;
    ++readers;
    if (name != worker && !study.missed_by.contains(name)) return false;
  }
  return readers > 1 || !options_.workers_may_come;
}

// True if another connected worker may be able to read what this one cannot.
bool Scheduler::OthersMayRead(const Study& study, const std::string& worker) const {
  std::set<std::string> unreadable_by = study.unreadable_by;
  unreadable_by.insert(worker);
  return !NobodyLeftToRead(study.session, unreadable_by);
}

bool Scheduler::NobodyLeftToRead(SessionKey session, const std::set<std::string>& unreadable_by) const {
  return std::none_of(workers_.begin(), workers_.end(), [&](const auto& worker) {
    return MayReadFiles(worker.second) && !unreadable_by.contains(worker.first) &&
           !quarantine_.IsHopeless(worker.first, session);
  });
}

// If only one worker was asked, its reason is enough.
std::string Scheduler::NotReadableBy(const Study& study, const std::string& worker, const std::string& reason) const {
  std::set<std::string> names = study.unreadable_by;
  names.insert(worker);
  for (const auto& [name, other] : workers_) {
    if (MayReadFiles(other) && quarantine_.IsHopeless(name, study.session)) names.insert(name);
  }
  if (names.size() == 1) return reason;
  return fmt::format("not readable by workers {}: {}", fmt::join(names, ", "), reason);
}

bool Scheduler::StoragePatienceIsOver(const Study& study, TimePoint now) const {
  const Session& session = sessions_.at(study.session);
  const auto patience_ends = StoragePatienceEnds(session);
  if (patience_ends && now >= *patience_ends) return true;
  if (!study.unreadable_since) return false;
  // The long wait is for an outage, not for a file that is missing although its storage is there or others can be
  // read.
  const bool is_outage = session.unreadable_since && !(session.answered_at > study.unreadable_since);
  const Duration alone = session.retry_for.value_or(options_.retry_for_unanswered);
  return now >= *study.unreadable_since + (is_outage ? RetryFor(session) : alone);
}

std::optional<TimePoint> Scheduler::StoragePatienceEnds(const Session& session) const {
  if (!session.unreadable_since) return std::nullopt;
  return *session.unreadable_since + RetryFor(session);
}

// The worker could not read a part of the study. Another worker may succeed, or the files may come back. Returns the
// number of attempts for the back-off of the study.
std::uint32_t Scheduler::PassOnUnreadable(const Lease& lease, TimePoint now, Output& out) {
  if (lease.unreadable.empty()) return 0;
  Study& study = studies_.at(lease.study);
  study.unreadable_by.insert(lease.worker);
  if (lease.storage_away) {
    study.missed_by.erase(lease.worker);
  } else {
    study.missed_by.insert(lease.worker);
  }
  partly_read_.insert(lease.study);
  SetBack(study);
  const bool nobody_left = NobodyLeftToRead(study.session, study.unreadable_by);
  if (!lease.responded) {
    sessions_.at(study.session).readers.erase(lease.worker);
    QuarantineWorker(lease.worker, study.session, lease.unreadable, BlameForFiles(lease, nobody_left), now, out);
  }
  if (!nobody_left) return 0;
  study.unreadable_by = {lease.worker};  // all workers may try again, this one last
  // One study at a time tries storage that is away. A study with a missing file backs off alone.
  return lease.storage_away ? 1 : ++study.unreadable_tries;
}

// Decides whether the worker is at fault if it cannot read files. Until every worker has tried, the storage or the
// files may be at fault.
Blame Scheduler::BlameForFiles(const Lease& lease, bool nobody_left) const {
  const SessionKey key = studies_.at(lease.study).session;
  if (OthersRead(key)) return Blame::kCertain;
  if (!nobody_left) return Blame::kLikely;
  return lease.storage_away && sessions_.at(key).untried_studies == 0 ? Blame::kCertain : Blame::kOpen;
}

// True if a worker has read files of the session and has not failed to do so since.
bool Scheduler::OthersRead(SessionKey session) const {
  const auto& readers = sessions_.at(session).readers;
  return std::any_of(readers.begin(), readers.end(), [&](const std::string& name) {
    const auto worker = workers_.find(name);
    return worker != workers_.end() && MayReadFiles(worker->second);
  });
}

// The worker was restarted, or its files are back, so it may now read what it could not read before.
void Scheduler::ReadAgain(const std::string& worker, TimePoint now) {
  for (const StudyKey key : std::vector(partly_read_.begin(), partly_read_.end())) {
    Study& study = studies_.at(key);
    if (!study.unreadable_by.contains(worker)) continue;
    const bool ready = study.place == Place::kReady;
    const TimePoint since = ready ? study.since : now;
    if (ready) Unqueue(key);  // its group changes
    study.unreadable_by.erase(worker);
    study.missed_by.erase(worker);
    if (study.unreadable_by.empty()) partly_read_.erase(key);
    if (ready) MakeReady(key, since);
  }
}

void Scheduler::QuarantineWorker(const std::string& worker, const QuarantineSubject& subject,
                                 const std::string& reason, Blame blame, TimePoint now, Output& out) {
  if (!quarantine_.Fail(worker, subject, reason, blame, now)) return;
  out.quarantines.push_back({.worker = worker, .what = {.subject = subject, .reason = reason}});
}

}  // namespace dicom_sender
