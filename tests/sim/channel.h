// What a worker or client has as its DealerChannel: a connection to one of the coordinators, and the real search for
// the one that leads (transport/leader_search.h).
#pragma once

#include "tests/sim/coordinators.h"
#include "transport/leader_search.h"

namespace dicom_sender {

class SimChannel {
 public:
  // `later` does something after a while in the process that has the channel, as long as that lives. `on_connected`:
  // whatever was said before is lost.
  using Later = std::function<void(Duration, std::function<void()>)>;
  SimChannel(World& world, Coordinators& coordinators, std::string peer, std::shared_ptr<Mailbox> mailbox,
             Later later, std::function<void()> on_connected);

  void Send(std::string bytes);
  // Of what has come from one of the coordinators.
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
  std::uint64_t connection_ = 0;  // by number: each is made once
  bool connected_ = false;
  std::uint64_t port_ = 0;                 // that it is to
  unsigned beats_missed_ = 0;              // in a row
  TimePoint looks_at_ = TimePoint::max();  // whether to move
};

}  // namespace dicom_sender
