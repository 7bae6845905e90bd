// The coordinator's thread: waits for messages or the next deadline, hands what has come to the Service, sends what
// it returns.
#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <vector>

#include "common/progress.h"
#include "coordinator/service/service.h"
#include "transport/channel.h"

namespace dicom_sender {

// Called in the loop's thread; each may be empty.
struct CoordinatorHooks {
  std::function<void(SessionKey)> on_ended = {};     // for each session, after the commit
  std::function<void(wire::Overview)> on_look = {};  // about once a second
  std::function<void()> every_second = {};           // about; a LedgerError of it ends the loop
  // When nothing waits: a piece of what can wait. False: there is no more of it.
  std::function<bool()> on_idle = {};
  // Asked before each step and before anything is said; empty: always. Once it is false the loop ends.
  std::function<bool()> leads = {};
  Progress progress = {};  // noted at each turn
};

class CoordinatorLoop {
 public:
  // `channel` is bound.
  CoordinatorLoop(RouterChannel& channel, Service& service, CoordinatorHooks hooks = {});

  // Goes on with the sessions that the ledger has open, then serves. Returns soon after a stop was requested, or when
  // it does not lead any more: then what was not said yet is not said. Throws LedgerError.
  void ResumeSessions();
  void Run(std::stop_token stop);
  // When it last looked for messages; to be asked by any thread.
  TimePoint last_turn() const { return turns_.at(); }

 private:
  std::vector<PeerMessage> Collect();
  void Take(const StepResult& result);
  void LookIfDue();
  std::chrono::milliseconds PollTimeout() const;
  bool Leads() const { return !hooks_.leads || hooks_.leads(); }

  RouterChannel& channel_;
  Service& service_;
  CoordinatorHooks hooks_;
  std::optional<TimePoint> wake_at_, looked_at_;
  Progress turns_;
};

}  // namespace dicom_sender
