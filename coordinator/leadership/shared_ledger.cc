#include "coordinator/leadership/shared_ledger.h"

namespace dicom_sender {

SharedLedger SharedPostgresqlLedger(const std::string& uri, Duration leader_timeout) {
  const auto with = [=](const WakeEvent* give_up, Progress progress) {
    return PostgresqlOptions{
        .uri = uri, .leader_timeout = leader_timeout, .give_up = give_up, .progress = std::move(progress)};
  };
  return {.open_leadership = [with](const WakeEvent* give_up) { return OpenLeadership(with(give_up, {})); },
          .open_ledger =
              [with](std::uint64_t epoch, const WakeEvent* give_up, Progress progress) {
                return OpenPostgresqlLedger(with(give_up, std::move(progress)), epoch);
              }};
}

}  // namespace dicom_sender
