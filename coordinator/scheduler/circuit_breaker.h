// Stops new associations to a destination that cannot be reached, and tries it again with one study at a time.
//
// - Closed: any number of studies may go. Open: none may, until a pause is over. Then one lease probes: its answer
//   closes the breaker, and its failure opens it again for a longer pause.
// - Associations that were requested together fail together, so a failure while the breaker is open and its pause
//   lasts changes nothing; nor does the failure of any lease while the probe is under way, because whether the
//   destination is back is what the probe finds out.
// - Half of the shortest pause is certain, the rest is random: a probe at once would only repeat what was just seen.
// - A destination that answers at all is tried more often, because it may take another study.
//
// Pure; time and chance are arguments. Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <random>

#include "common/time.h"
#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

struct BreakerOptions {
  Duration backoff_min = std::chrono::milliseconds(500);  // before the first probe; doubles, with jitter
  Duration backoff_max = std::chrono::seconds(30);
};

// How the destination fails. It decides how often the destination is tried again, and what must have been tried
// before it is given up.
enum class TroubleKind : std::uint8_t {
  kSilent,    // it does not answer at all
  kRejects,   // it rejects the association of a C-ECHO, too
  kTakesEcho  // it answers a C-ECHO, but takes nothing else
};

class CircuitBreaker {
 public:
  explicit CircuitBreaker(BreakerOptions options) : options_(options) {}

  // The destination answered a C-STORE, or a study went through.
  void OnAnswer();
  // The destination answered a C-ECHO. That ends an outage, but not the suspicion that it takes nothing.
  void OnEcho();
  // The destination answers a C-ECHO, but has not taken several studies. It is still sent to.
  void Suspect(TimePoint now);
  // True if this opened the breaker; false if it was open, or a probe is under way.
  bool OnFailure(TroubleKind trouble, TimePoint now, std::mt19937_64& random);

  bool IsClosed() const { return state_ == State::kClosed; }
  // Not closed, and no probe is under way.
  bool IsOpen() const { return state_ == State::kOpen; }
  bool IsProbing() const { return state_ == State::kProbing; }
  bool MayProbe(TimePoint now) const { return IsOpen() && retry_at_ <= now; }
  // A lease was granted. It is the probe if the breaker is open.
  void BeginLease(LeaseId lease);
  // A lease is over. If it was a probe without an answer, the next lease may probe at once.
  void EndLease(LeaseId lease);
  std::optional<LeaseId> probe() const { return IsProbing() ? std::optional(probe_) : std::nullopt; }
  // When the destination is tried again; nullopt unless the breaker is open.
  std::optional<TimePoint> retry_at() const { return IsOpen() ? std::optional(retry_at_) : std::nullopt; }

  TroubleKind trouble() const { return trouble_; }
  // Since when nothing has got through; nullopt: the destination is reachable.
  std::optional<TimePoint> unreachable_since() const { return unreachable_since_; }

 private:
  enum class State : std::uint8_t { kClosed, kOpen, kProbing };

  void Close();
  Duration LongestPause() const;

  BreakerOptions options_;
  State state_ = State::kClosed;
  std::uint32_t failures_in_a_row_ = 0;
  TimePoint retry_at_;  // while open
  LeaseId probe_ = 0;   // while probing
  TroubleKind trouble_ = TroubleKind::kSilent;
  std::optional<TimePoint> unreachable_since_;
};

}  // namespace dicom_sender
