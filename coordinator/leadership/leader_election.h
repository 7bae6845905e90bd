// Watches the leader record of a shared ledger and takes the leadership as soon as the rules allow it. It runs in a
// thread of its own, because a request to the ledger's store may block.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <tl/expected.hpp>

#include "common/time.h"
#include "common/wake_event.h"
#include "coordinator/leadership/leader_lease.h"
#include "coordinator/leadership/shared_ledger.h"

namespace dicom_sender {

// The result of an election that was won: the epoch, and the connection that renews it.
struct AcquiredLeadership {
  LeaderRecord record;
  TimePoint sent_at{};                 // when the accepted request was sent
  std::unique_ptr<WakeEvent> give_up;  // ends the waits of the leadership's connection
  std::unique_ptr<Leadership> leadership;
};

class LeaderElection {
 public:
  // `name`: unique among all processes. `strict`: until the store has been reached once, an error that a person must
  // fix ends the election; otherwise it is retried.
  LeaderElection(const SharedLedger& ledger, std::string name, Duration leader_timeout, bool strict);
  // Ends the waits, and hands over a leadership that was acquired but not fetched with Decision(). Waits for a
  // request to take the leadership that is under way: for half the leader timeout, but at least one second and at
  // most ten.
  ~LeaderElection();
  LeaderElection(const LeaderElection&) = delete;
  LeaderElection& operator=(const LeaderElection&) = delete;

  void Start();  // once

  // What the last look at the record showed. Both members are empty before the first look.
  struct View {
    std::optional<LeaderRecord> record;
    std::string trouble;  // why the record cannot be read
  };
  View view() const;
  // Raised when the view has changed or the election is decided. The caller clears it.
  WakeEvent& changed() { return changed_; }

  // Returns a value once, when the election is decided: the leadership, or one sentence that says what a person must
  // fix.
  std::optional<tl::expected<AcquiredLeadership, std::string>> Decision();

 private:
  void Run();
  std::optional<std::string> Open();
  struct Taken {
    LeaderRecord record;
    TimePoint sent_at{};
  };
  std::optional<Taken> LookAndTake();
  std::optional<Taken> Take(const LeaderRecord& seen);
  void WarnOfOtherTimeout(const LeaderRecord& seen);
  void Decide(tl::expected<Taken, std::string> taken);
  void SetView(std::optional<LeaderRecord> record, const std::string& trouble);

  const SharedLedger& ledger_;
  const std::string name_;
  const Duration leader_timeout_;
  const bool strict_;
  LeaderWatch watch_;
  std::unique_ptr<WakeEvent> own_give_up_ = std::make_unique<WakeEvent>();  // until the election is decided
  WakeEvent& give_up_ = *own_give_up_;                                      // used by the thread, as is leadership_
  std::unique_ptr<Leadership> leadership_;
  std::optional<Duration> warned_of_;  // a leader's timeout
  WakeEvent changed_;
  mutable std::mutex mutex_;  // guards the members below, and own_give_up_
  std::condition_variable take_returned_;
  bool taking_ = false, ending_ = false;
  View view_;
  std::optional<tl::expected<AcquiredLeadership, std::string>> decision_;
  std::thread thread_;
};

}  // namespace dicom_sender
