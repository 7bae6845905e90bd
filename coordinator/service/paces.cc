#include "coordinator/service/paces.h"

#include "coordinator/summary/summary.h"
#include "session/session_view.h"

namespace dicom_sender {

void SessionPaces::Measure(std::span<const SessionRecord> open, TimePoint now) {
  std::map<SessionKey, Measured> before;
  before.swap(sessions_);
  for (const SessionRecord& record : open) {
    Measured& session = sessions_[record.key];
    if (const auto known = before.find(record.key); known != before.end()) session = std::move(known->second);
    const ProgressView view = ProgressOf(ToStatus(record), Duration::zero());
    // A ledger that was restored from a backup has less than before.
    if (view.stored < session.stored || view.bytes_stored < session.bytes) session = {};
    session.stored = view.stored;
    session.bytes = view.bytes_stored;
    session.meter.Add(now, view.stored, view.bytes_stored);
    session.pace.rate = session.meter.Get();
    session.pace.left = TimeLeft(view, session.pace.rate);
  }
}

SessionPace SessionPaces::Of(SessionKey session) const {
  const auto known = sessions_.find(session);
  return known == sessions_.end() ? SessionPace() : known->second.pace;
}

}  // namespace dicom_sender
