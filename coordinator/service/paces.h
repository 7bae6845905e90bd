// How fast the open sessions move, and when they will be done: for dicom-ctl and the status page.
#pragma once

#include <map>
#include <optional>
#include <span>

#include "common/rate.h"
#include "common/time.h"
#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

struct SessionPace {
  std::optional<Rate> rate;      // of what is stored, over the last seconds; none: too early to tell
  std::optional<Duration> left;  // none: it cannot be told
};

class SessionPaces {
 public:
  // Those that are not among the open ones are forgotten.
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
