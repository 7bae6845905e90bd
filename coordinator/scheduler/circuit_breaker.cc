#include "coordinator/scheduler/circuit_breaker.h"

#include <algorithm>

#include "coordinator/scheduler/backoff.h"

namespace dicom_sender {

void CircuitBreaker::OnAnswer() {
  Close();
  trouble_ = TroubleKind::kSilent;  // until the next failure says otherwise
}

void CircuitBreaker::OnEcho() {
  if (trouble_ != TroubleKind::kTakesEcho) Close();
}

void CircuitBreaker::Close() {
  state_ = State::kClosed;
  failures_in_a_row_ = 0;
  unreachable_since_.reset();
}

void CircuitBreaker::Suspect(TimePoint now) {
  trouble_ = TroubleKind::kTakesEcho;
  if (!unreachable_since_) unreachable_since_ = now;
}

bool CircuitBreaker::OnFailure(TroubleKind trouble, TimePoint now, std::mt19937_64& random) {
  trouble_ = trouble;
  if (IsProbing() || (IsOpen() && retry_at_ > now)) return false;
  if (!unreachable_since_) unreachable_since_ = now;
  state_ = State::kOpen;
  const Duration jittered = JitteredBackoff(options_.backoff_min, LongestPause(), failures_in_a_row_, random);
  retry_at_ = now + options_.backoff_min / 2 + jittered;
  ++failures_in_a_row_;
  return true;
}

void CircuitBreaker::BeginLease(LeaseId lease) {
  if (!IsOpen()) return;
  state_ = State::kProbing;
  probe_ = lease;
}

void CircuitBreaker::EndLease(LeaseId lease) {
  if (IsProbing() && probe_ == lease) state_ = State::kOpen;
}

Duration CircuitBreaker::LongestPause() const {
  switch (trouble_) {
    case TroubleKind::kSilent:
      break;
    case TroubleKind::kRejects:
      return std::min(options_.backoff_max, options_.backoff_min * 4);
    case TroubleKind::kTakesEcho:
      return options_.backoff_min;
  }
  return options_.backoff_max;
}

}  // namespace dicom_sender
