// Measures the throughput of the open sessions and estimates the time left, for dicom-ctl and the status page.
#pragma once

#include <map>
#include <optional>
#include <span>

#include "common/rate.h"
#include "common/time.h"
#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

struct SessionPace {
  std::optional<Rate> rate;      // of stored instances, over the last seconds; nullopt: too early to tell
  std::optional<Duration> left;  // nullopt: unknown
};

class SessionPaces {
 public:
  // Forgets all other sessions.
  void Measure(std::span<const SessionRecord> open, TimePoint now);
  SessionPace Of(SessionKey session) const;

 private:
  struct Measured {
    RateMeter meter;
    std::uint64_t stored = 0, bytes = 0;
    SessionPace pace;
  };
  std::map<SessionKey, Measured> sessions_;
};

}  // namespace dicom_sender
