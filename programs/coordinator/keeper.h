// Keeps the leadership while the coordinator works: renews it in a thread of its own on its own connection, so that a
// long step does not lose it. It is lost when it was not renewed in time, when another coordinator leads, or when
// this one says so. Then everybody who waits for the ledger is told to give up.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "common/http_server.h"
#include "coordinator/leadership/succession.h"
#include "programs/coordinator/candidate.h"

namespace dicom_sender {

// Thread-safe, but Release() and the destructor.
class Keeper {
 public:
  // While `well` finds something wrong nothing is renewed: a coordinator that hangs must not lead for ever. It is
  // called from a thread of this object.
  Keeper(Mandate mandate, Duration leader_timeout, HttpCheck well);
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  std::uint64_t epoch() const { return epoch_; }
  bool Leads() const;  // never true again after it was false
  // Raised when the leadership is lost.
  const WakeEvent& give_up() const { return *give_up_; }
  std::stop_token lost() const { return lost_.get_token(); }
  // The first reason counts; empty: it is not lost.
  void Lose(const std::string& why);
  std::string why_lost() const;

  // Hands over, if it still leads: nothing is done with the ledger any more. What goes wrong is logged; another
  // coordinator takes over all the same, only later.
  void Release();

 private:
  using Lock = std::unique_lock<std::mutex>;
  void Renew();
  bool Prolong(TimePoint sent_at);
  void WatchEnd();
  std::string RenewOnce();
  void Finish(bool& what);

  const std::uint64_t epoch_;
  const Duration leader_timeout_;
  const HttpCheck well_;
  const std::unique_ptr<WakeEvent> give_up_;
  const std::unique_ptr<Leadership> leadership_;  // the renewing thread's, as long as it runs
  std::stop_source lost_;
  mutable std::atomic<Duration::rep> ends_at_;  // 0: it has been said that it is over
  mutable std::mutex mutex_;                    // of what follows
  std::condition_variable changed_;
  Tenure tenure_;
  std::string why_not_renewed_, why_lost_;
  bool renewing_ = true, watching_ = true;
  std::thread renewer_, watcher_;
};

}  // namespace dicom_sender
