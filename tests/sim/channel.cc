#include "tests/sim/channel.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::seconds kBeatEvery(1);
constexpr unsigned kBeatsMissedMax = 2;

}  // namespace

SimChannel::SimChannel(World& world, Coordinators& coordinators, std::string peer, std::shared_ptr<Mailbox> mailbox,
                       Later later, std::function<void()> on_connected)
    : world_(world),
      coordinators_(coordinators),
      peer_(std::move(peer)),
      mailbox_(std::move(mailbox)),
      later_(std::move(later)),
      on_connected_(std::move(on_connected)),
      search_(coordinators.size(), world.random.Next(), world.now()) {
  coordinators_.Register(peer_, mailbox_);
  if (!alone()) Connect();
}

void SimChannel::Send(std::string bytes) {
  if (alone()) return coordinator().Send(peer_, mailbox_, coordinator().port(), std::move(bytes));
  if (!connected_) return;
  coordinator().Send(peer_, mailbox_, port_, std::move(bytes));
  search_.Asked(world_.now());
  MoveInTime();
}

void SimChannel::Heard(unsigned coordinator, bool leads) {
  if (coordinator != current_ || !connected_) return;  // from a connection that was given up
  leads ? search_.Answered(world_.now()) : search_.NotLeading(world_.now());
  MoveInTime();
}

void SimChannel::Connect() {
  later_(world_.Trip(), [this, connection = ++connection_] {
    if (connection != connection_) return;
    const bool reached = !world_.IsCut(mailbox_->node, coordinator().name());
    if (reached && coordinator().listens()) {
      connected_ = true;
      port_ = coordinator().port();
      beats_missed_ = 0;
      search_.Connected();
      Beat();
      on_connected_();
    } else if (reached && !coordinator().runs()) {
      Lose();
    }
  });
  MoveInTime();
}

void SimChannel::Beat() {
  later_(kBeatEvery, [this, connection = connection_] {
    if (connection != connection_ || !connected_) return;
    const bool beats = coordinator().listens() && !world_.IsCut(mailbox_->node, coordinator().name());
    beats_missed_ = beats ? 0 : beats_missed_ + 1;
    coordinator().port() != port_ || beats_missed_ == kBeatsMissedMax ? Lose() : Beat();
  });
}

void SimChannel::Lose() {
  connected_ = false;
  search_.Lost(world_.now());
  MoveInTime();
}

void SimChannel::MoveInTime() {
  const TimePoint at = std::max(search_.move_at(), world_.now());
  if (search_.move_at() == TimePoint::max() || at >= looks_at_) return;
  looks_at_ = at;
  later_(at - world_.now(), [this, at] {
    if (looks_at_ != at) return;  // a newer check replaces this one
    looks_at_ = TimePoint::max();
    search_.move_at() <= world_.now() ? Move() : MoveInTime();
  });
}

void SimChannel::Move() {
  connected_ = false;
  current_ = (current_ + 1) % coordinators_.size();
  search_.Moved(world_.now());
  Connect();
}

}  // namespace dicom_sender
