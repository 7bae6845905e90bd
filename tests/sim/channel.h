// Replaces the DealerChannel of a worker or client: a connection to one of the coordinators, with the real search for
// the leader (transport/leader_search.h).
#pragma once

#include "tests/sim/coordinators.h"
#include "transport/leader_search.h"

namespace dicom_sender {

class SimChannel {
 public:
  // `later` runs a function after a delay in the process that owns the channel, unless that process ends before.
  // `on_connected` reports a new connection: all earlier messages are lost.
  using Later = std::function<void(Duration, std::function<void()>)>;
  SimChannel(World& world, Coordinators& coordinators, std::string peer, std::shared_ptr<Mailbox> mailbox,
             Later later, std::function<void()> on_connected);

  void Send(std::string bytes);
  // Call this for each message from a coordinator.
  void Heard(unsigned coordinator, bool leads);

 private:
  bool alone() const { return coordinators_.size() == 1; }
  SimCoordinator& coordinator() { return coordinators_.at(current_); }
  void Connect();
  void Beat();
  void Lose();
  void MoveInTime();
  void Move();

  World& world_;
  Coordinators& coordinators_;
  const std::string peer_;
  const std::shared_ptr<Mailbox> mailbox_;
  const Later later_;
  const std::function<void()> on_connected_;
  LeaderSearch search_;
  unsigned current_ = 0;
  std::uint64_t connection_ = 0;  // a number per connection
  bool connected_ = false;
  std::uint64_t port_ = 0;                 // the coordinator's port number when it was made
  unsigned beats_missed_ = 0;              // consecutive
  TimePoint looks_at_ = TimePoint::max();  // the next check whether to move
};

}  // namespace dicom_sender
