// The coordinator's main loop: waits for messages or the next deadline, passes the messages to the Service, and sends
// what it returns.
#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <vector>

#include "common/progress.h"
#include "coordinator/service/service.h"
#include "transport/channel.h"

namespace dicom_sender {

// The loop calls these functions in its own thread. Each may be empty.
struct CoordinatorHooks {
  std::function<void(SessionKey)> on_ended = {};     // called for each session, after the commit
  std::function<void(wire::Overview)> on_look = {};  // called about once per second
  std::function<void()> every_second = {};           // called about once per second; a LedgerError ends the loop
  // Does a piece of low-priority work. Called while no message is waiting, until it returns false.
  std::function<bool()> on_idle = {};
  // Whether this coordinator is the leader; empty: always. Checked before each step and before each message that is
  // sent. Once it returns false, the loop ends.
  std::function<bool()> leads = {};
  Progress progress = {};  // noted in each iteration
};

class CoordinatorLoop {
 public:
  // `channel` must be bound.
  CoordinatorLoop(RouterChannel& channel, Service& service, CoordinatorHooks hooks = {});

  // Continues the sessions that are open in the ledger. Throws LedgerError.
  void ResumeSessions();
  // Serves until a stop is requested or this coordinator is no longer the leader. A former leader drops the messages
  // that it has not sent yet. Throws LedgerError.
  void Run(std::stop_token stop);
  // When the loop last checked for messages. Thread-safe.
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
