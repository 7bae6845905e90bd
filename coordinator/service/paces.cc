#include "coordinator/service/paces.h"

#include <algorithm>
#include <utility>

namespace dicom_sender {
namespace {

std::optional<Duration> TimeLeftOf(const SessionRecord& record, const std::optional<Rate>& rate) {
  if (!record.scan_complete) return std::nullopt;  // the total is not known yet
  const Counts& counts = record.counts;
  return TimeLeft(counts.unsettled(), counts.total_bytes - std::min(counts.total_bytes, counts.settled_bytes), rate);
}

}  // namespace

void SessionPaces::Measure(std::span<const SessionRecord> open, TimePoint now) {
  std::map<SessionKey, Measured> before;
  before.swap(sessions_);
  for (const SessionRecord& record : open) {
    Measured& session = sessions_[record.key];
    if (const auto known = before.find(record.key); known != before.end()) session = std::move(known->second);
    const std::uint64_t stored = record.counts.successful(), bytes = record.counts.stored_bytes;
    // The counts decrease if the ledger was restored from a backup.
    if (stored < session.stored || bytes < session.bytes) session = {};
    session.stored = stored;
    session.bytes = bytes;
    session.meter.Add(now, stored, bytes);
    session.pace.rate = session.meter.Get();
    session.pace.left = TimeLeftOf(record, session.pace.rate);
  }
}

SessionPace SessionPaces::Of(SessionKey session) const {
  const auto known = sessions_.find(session);
  return known == sessions_.end() ? SessionPace() : known->second.pace;
}

}  // namespace dicom_sender
