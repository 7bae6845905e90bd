// Renews the leader lease while the coordinator works. It uses a thread and a connection of its own, so a long step
// of the coordinator does not lose the lease. The leadership is lost when the lease was not renewed in time, when
// another coordinator is the leader, or when Lose() is called. From then on all waits for the ledger are given up.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "common/http_server.h"
#include "coordinator/leadership/leader_election.h"
#include "coordinator/leadership/leader_lease.h"

namespace dicom_sender {

// Thread-safe, except for Release() and the destructor.
class LeadershipRenewer {
 public:
  // While `health` returns a problem, the lease is not renewed, so that a coordinator that hangs does not stay the
  // leader. It is called from a thread of this object.
  LeadershipRenewer(AcquiredLeadership acquired, Duration leader_timeout, HttpCheck health);
  ~LeadershipRenewer();
  LeadershipRenewer(const LeadershipRenewer&) = delete;
  LeadershipRenewer& operator=(const LeadershipRenewer&) = delete;

  std::uint64_t epoch() const { return epoch_; }
  bool IsLeader() const;  // never true again after it was false
  // Raised when the leadership is lost.
  const WakeEvent& give_up() const { return *give_up_; }
  std::stop_token lost() const { return lost_.get_token(); }
  // Only the first reason is kept.
  void Lose(const std::string& why);
  std::string why_lost() const;  // empty while the leadership is not lost

  // Hands over, unless the leadership is lost. The caller has stopped using the ledger. A failure is logged; another
  // coordinator then takes over after the leader timeout.
  void Release();

 private:
  using Lock = std::unique_lock<std::mutex>;
  void Renew();
  bool Extend(TimePoint sent_at);
  void WatchExpiry();
  std::string RenewOnce();
  void Finish(bool& what);

  const std::uint64_t epoch_;
  const Duration leader_timeout_;
  const HttpCheck health_;
  const std::unique_ptr<WakeEvent> give_up_;
  const std::unique_ptr<Leadership> leadership_;  // belongs to the renewing thread while that runs
  std::stop_source lost_;
  mutable std::atomic<Duration::rep> expires_at_;  // kExpired: a caller was told that the lease has expired
  mutable std::mutex mutex_;                       // guards the members below
  std::condition_variable changed_;
  LeaderLease lease_;
  std::string why_not_renewed_, why_lost_;
  bool renewing_ = true, watching_ = true;
  std::thread renewer_, watcher_;
};

}  // namespace dicom_sender
