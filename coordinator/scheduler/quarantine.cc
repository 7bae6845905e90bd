#include "coordinator/scheduler/quarantine.h"

#include <algorithm>
#include <set>

namespace dicom_sender {
namespace {

// Numbers of failures in a row. A single failure may be an accident.
constexpr std::uint32_t kShownAfter = 2, kHopelessAfter = 5;

}  // namespace

const Quarantine::Entry* Quarantine::Find(const std::string& worker, const QuarantineSubject& subject) const {
  if (entries_.empty()) return nullptr;
  const auto entry = entries_.find({worker, subject});
  return entry == entries_.end() ? nullptr : &entry->second;
}

bool Quarantine::Fail(const std::string& worker, const QuarantineSubject& subject, const std::string& reason,
                      Blame blame, TimePoint now) {
  Entry& entry = entries_[{worker, subject}];
  entry.in_force |= blame != Blame::kOpen;
  entry.confirmed |= blame == Blame::kCertain;
  const std::uint32_t doublings = blame == Blame::kLikely && !entry.confirmed ? 0 : std::min(entry.failures, 20U);
  ++entry.failures;
  entry.retry_at = now + std::min(options_.backoff_max, options_.backoff_min * (std::int64_t{1} << doublings));
  entry.reason = reason;
  const bool was_shown = entry.shown;
  entry.shown |= entry.confirmed && entry.failures >= kShownAfter;
  return entry.shown && !was_shown;
}

bool Quarantine::Succeed(const std::string& worker, const QuarantineSubject& subject) {
  return !entries_.empty() && entries_.erase({worker, subject}) > 0;
}

void Quarantine::Confirm(const QuarantineSubject& subject, TimePoint now) {
  for (auto& [key, entry] : entries_) {
    if (key.second != subject || entry.confirmed) continue;
    entry.confirmed = true;
    if (!entry.in_force) entry.retry_at = now;
    entry.in_force = true;
  }
}

bool Quarantine::Keeps(const std::string& worker, const QuarantineSubject& subject, TimePoint now) const {
  const Entry* entry = Find(worker, subject);
  return entry != nullptr && entry->in_force && (entry->tried_by != 0 || now < entry->retry_at);
}

bool Quarantine::IsHopeless(const std::string& worker, const QuarantineSubject& subject) const {
  const Entry* entry = Find(worker, subject);
  return entry != nullptr && entry->confirmed && entry->failures >= kHopelessAfter;
}

void Quarantine::BeginTry(const std::string& worker, const QuarantineSubject& subject, LeaseId lease) {
  const auto entry = entries_.find({worker, subject});
  if (entry != entries_.end()) entry->second.tried_by = lease;
}

void Quarantine::EndTry(const std::string& worker, const QuarantineSubject& subject, LeaseId lease) {
  const auto entry = entries_.find({worker, subject});
  if (entry != entries_.end() && entry->second.tried_by == lease) entry->second.tried_by = 0;
}

void Quarantine::ForgetWorker(const std::string& worker) {
  std::erase_if(entries_, [&](const auto& entry) { return entry.first.first == worker; });
}

void Quarantine::ForgetSubject(const QuarantineSubject& subject) {
  std::erase_if(entries_, [&](const auto& entry) { return entry.first.second == subject; });
}

std::vector<QuarantineView> Quarantine::Of(const std::string& worker) const {
  std::vector<QuarantineView> views;
  for (const auto& [key, entry] : entries_) {
    if (key.first == worker && entry.shown) views.push_back({.subject = key.second, .reason = entry.reason});
  }
  return views;
}

std::uint64_t Quarantine::workers() const {
  std::set<std::string> workers;
  for (const auto& [key, entry] : entries_) {
    if (entry.shown) workers.insert(key.first);
  }
  return workers.size();
}

std::optional<TimePoint> Quarantine::NextTry(TimePoint now) const {
  std::optional<TimePoint> next;
  for (const auto& [key, entry] : entries_) {
    if (!entry.in_force || entry.tried_by != 0 || entry.retry_at <= now) continue;
    next = next ? std::min(*next, entry.retry_at) : entry.retry_at;
  }
  return next;
}

}  // namespace dicom_sender
