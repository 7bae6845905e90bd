// The coordinator's thread: waits for messages or the next deadline, hands what has come to the Service, sends what
// it returns.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <stop_token>
#include <vector>

#include "coordinator/service/service.h"
#include "proto/channel.h"

namespace dicom_sender {

class CoordinatorLoop {
 public:
  // `channel` is bound. `on_ended` is called for each session that has ended, after the commit.
  CoordinatorLoop(RouterChannel& channel, Service& service, std::function<void(SessionKey)> on_ended = {});

  // Goes on with the sessions that the ledger has open, then serves. Returns soon after a stop was requested. Throws
  // LedgerError.
  void ResumeSessions();
  void Run(std::stop_token stop);
  // When it last had nothing left to do or waited; to be asked by any thread.
  TimePoint last_round() const { return TimePoint(Duration(last_round_)); }

 private:
  std::vector<Incoming> Collect();
  void Take(const StepResult& result);

  RouterChannel& channel_;
  Service& service_;
  const std::function<void(SessionKey)> on_ended_;
  std::optional<TimePoint> wake_at_;
  std::atomic<Duration::rep> last_round_;
};

}  // namespace dicom_sender
