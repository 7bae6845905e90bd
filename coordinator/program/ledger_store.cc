#include "coordinator/program/ledger_store.h"

namespace dicom_sender {

LedgerStore PostgresqlStore(const std::string& uri, Duration leader_timeout) {
  const PostgresqlOptions options{.uri = uri, .leader_timeout = leader_timeout, .give_up = nullptr};
  const auto with = [options](const WakeEvent* give_up) {
    PostgresqlOptions complete = options;
    complete.give_up = give_up;
    return complete;
  };
  return {.open_leadership = [with](const WakeEvent* give_up) { return OpenLeadership(with(give_up)); },
          .open_ledger = [with](std::uint64_t epoch,
                                const WakeEvent* give_up) { return OpenPostgresqlLedger(with(give_up), epoch); }};
}

}  // namespace dicom_sender
