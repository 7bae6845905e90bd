// Watches who leads, and takes the leadership as soon as it may: in a thread of its own, because the ledger's store
// may keep it waiting.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <tl/expected.hpp>

#include "common/time.h"
#include "common/wake_event.h"
#include "coordinator/core/succession.h"
#include "coordinator/program/ledger_store.h"

namespace dicom_sender {

// What a candidate has taken: the leadership's epoch, and the connection to keep it by.
struct Mandate {
  LeaderRecord record;
  TimePoint taken_at{};                // when it was asked for
  std::unique_ptr<WakeEvent> give_up;  // ends the waits of the leadership's connection
  std::unique_ptr<Leadership> leadership;
};

class Candidate {
 public:
  // `strict`: what a person must mend before the store was reached once is an error; otherwise it is tried again.
  Candidate(const LedgerStore& store, std::string name, Duration leader_timeout, bool strict);
  ~Candidate();  // ends the waits
  Candidate(const Candidate&) = delete;
  Candidate& operator=(const Candidate&) = delete;

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
  WakeEvent news_;
  mutable std::mutex mutex_;  // of what follows, and of own_give_up_
  View view_;
  std::optional<tl::expected<Mandate, std::string>> decision_;
  std::thread thread_;
};

}  // namespace dicom_sender
