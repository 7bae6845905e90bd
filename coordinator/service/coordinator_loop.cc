#include "coordinator/service/coordinator_loop.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>

#include "common/wake_event.h"

namespace dicom_sender {
namespace {

// All messages of one step share one commit. A larger step saves little, but delays all replies.
constexpr std::size_t kMessagesPerStepMax = 64;
constexpr std::chrono::milliseconds kPollMax(1000);
constexpr std::chrono::milliseconds kLookEvery(1000);

}  // namespace

CoordinatorLoop::CoordinatorLoop(RouterChannel& channel, Service& service, CoordinatorHooks hooks)
    : channel_(channel), service_(service), hooks_(std::move(hooks)) {}

void CoordinatorLoop::ResumeSessions() { Take(service_.ResumeSessions(MonotonicNow(), WallNow())); }

void CoordinatorLoop::Run(std::stop_token stop) {
  WakeEvent stopped;
  const std::stop_callback on_stop(stop, [&stopped] { stopped.Raise(); });
  while (!stop.stop_requested() && Leads()) {
    LookIfDue();
    std::array<zmq::pollitem_t, 2> items{
        {{channel_.socket().handle(), 0, ZMQ_POLLIN, 0}, {nullptr, stopped.fd(), ZMQ_POLLIN, 0}}};
    zmq::poll(items, PollTimeout());
    turns_.Note();
    hooks_.progress.Note();
    if (!Leads()) return;  // the process may have been suspended while it waited
    const std::vector<PeerMessage> messages = Collect();
    if (!messages.empty() || (wake_at_ && MonotonicNow() >= *wake_at_)) {
      Take(service_.Step(messages, MonotonicNow(), WallNow()));
    } else if (hooks_.on_idle && !hooks_.on_idle()) {
      hooks_.on_idle = nullptr;
    }
  }
}

std::chrono::milliseconds CoordinatorLoop::PollTimeout() const {
  using std::chrono::milliseconds;
  if (hooks_.on_idle) return milliseconds(0);
  if (!wake_at_) return kPollMax;
  const auto left = std::chrono::ceil<milliseconds>(*wake_at_ - MonotonicNow());
  return std::clamp(left, milliseconds(0), kPollMax);
}

std::vector<PeerMessage> CoordinatorLoop::Collect() {
  std::vector<PeerMessage> messages;
  while (messages.size() < kMessagesPerStepMax) {
    auto message = channel_.Receive();
    if (!message) break;
    messages.push_back(*std::move(message));
  }
  return messages;
}

void CoordinatorLoop::Take(const StepResult& result) {
  wake_at_ = result.wake_at;
  for (const Outgoing& outgoing : result.messages) {
    if (!Leads()) return;
    // A dropped message does no harm, because the receiver repeats its request.
    if (!channel_.Send(outgoing.peer, outgoing.message)) {
      spdlog::debug("Dropped a message: its receiver has disconnected or does not read");
    }
  }
  if (!hooks_.on_ended || !Leads()) return;
  for (const SessionKey session : result.ended) hooks_.on_ended(session);
}

void CoordinatorLoop::LookIfDue() {
  const TimePoint now = MonotonicNow();
  if (looked_at_ && now - *looked_at_ < kLookEvery) return;
  looked_at_ = now;
  if (hooks_.every_second) hooks_.every_second();
  if (hooks_.on_look) {
    hooks_.on_look(service_.Look(now, WallNow()));
  } else {
    service_.MeasurePaces(now);
  }
}

}  // namespace dicom_sender
