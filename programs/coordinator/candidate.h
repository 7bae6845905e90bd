// Watches who leads, and takes the leadership as soon as it may: in a thread of its own, because the ledger's store
// may keep it waiting.
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
#include "coordinator/leadership/succession.h"
#include "programs/coordinator/ledger_store.h"

namespace dicom_sender {

// What a candidate has taken: the leadership's epoch, and the connection to keep it by.
struct Mandate {
  LeaderRecord record;
  TimePoint taken_at{};                // when what the store then granted was asked for
  std::unique_ptr<WakeEvent> give_up;  // ends the waits of the leadership's connection
  std::unique_ptr<Leadership> leadership;
};

class Candidate {
 public:
  // `name`: no other process has it. `strict`: what a person must mend before the store was reached once is an error;
  // otherwise it is tried again.
  Candidate(const LedgerStore& store, std::string name, Duration leader_timeout, bool strict);
  // Ends the waits, and hands over what it has taken and nobody has asked for; lets a taking that is under way come
  // to its end, for half the leader time-out: a second at least, ten at the most.
  ~Candidate();
  Candidate(const Candidate&) = delete;
  Candidate& operator=(const Candidate&) = delete;

  void Start();  // once

  // What it saw last; nothing at all: it has not looked yet.
  struct View {
    std::optional<LeaderRecord> record;
    std::string trouble;  // why it cannot look; empty: it can
  };
  View view() const;
  // Raised when the view has changed or it is decided; cleared by who looks.
  WakeEvent& news() { return news_; }

  // Once it is decided: the leadership, or one sentence about what a person must mend. To be called once then.
  std::optional<tl::expected<Mandate, std::string>> Decision();

 private:
  void Run();
  std::optional<std::string> Open();
  struct Taken {
    LeaderRecord record;
    TimePoint at{};
  };
  std::optional<Taken> LookAndTake();
  std::optional<Taken> Take(const LeaderRecord& seen);
  void WarnOfOtherTimeout(const LeaderRecord& seen);
  void Decide(tl::expected<Taken, std::string> taken);
  void Note(std::optional<LeaderRecord> record, const std::string& trouble);

  const LedgerStore& store_;
  const std::string name_;
  const Duration leader_timeout_;
  const bool strict_;
  LeaderWatch watch_;
  std::unique_ptr<WakeEvent> own_give_up_ = std::make_unique<WakeEvent>();  // until it is decided
  WakeEvent& give_up_ = *own_give_up_;                                      // the thread's, as the leadership
  std::unique_ptr<Leadership> leadership_;
  std::optional<Duration> warned_of_;  // a leader's time-out
  WakeEvent news_;
  mutable std::mutex mutex_;  // of what follows, and of own_give_up_
  std::condition_variable has_taken_;
  bool taking_ = false, ends_ = false;
  View view_;
  std::optional<tl::expected<Mandate, std::string>> decision_;
  std::thread thread_;
};

}  // namespace dicom_sender
