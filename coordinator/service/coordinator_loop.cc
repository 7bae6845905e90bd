#include "coordinator/service/coordinator_loop.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>

#include "common/wake_event.h"

namespace dicom_sender {
namespace {

// All messages of one step share one commit. More of them do not make it cheaper, but make everybody wait longer.
constexpr std::size_t kMessagesPerStepMax = 64;
constexpr std::chrono::milliseconds kPollMax(1000);

std::chrono::milliseconds PollTimeout(std::optional<TimePoint> wake_at) {
  if (!wake_at) return kPollMax;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*wake_at - MonotonicNow());
  return std::clamp(left, std::chrono::milliseconds(0), kPollMax);
}

}  // namespace

CoordinatorLoop::CoordinatorLoop(zmq::context_t& context, const CoordinatorEndpoints& endpoints, Service& service)
    : clients_(context, endpoints.clients), workers_(context, endpoints.workers), service_(service) {}

void CoordinatorLoop::Run(std::stop_token stop) {
  WakeEvent stopped;
  const std::stop_callback on_stop(stop, [&stopped] { stopped.Raise(); });
  std::optional<TimePoint> wake_at;
  while (!stop.stop_requested()) {
    std::array<zmq::pollitem_t, 3> items{{{clients_.socket().handle(), 0, ZMQ_POLLIN, 0},
                                          {workers_.socket().handle(), 0, ZMQ_POLLIN, 0},
                                          {nullptr, stopped.fd(), ZMQ_POLLIN, 0}}};
    zmq::poll(items, PollTimeout(wake_at));
    std::vector<Incoming> messages;
    Collect(workers_, Side::kWorker, messages);
    Collect(clients_, Side::kClient, messages);
    if (messages.empty() && (!wake_at || MonotonicNow() < *wake_at)) continue;
    const StepResult result = service_.Step(messages, MonotonicNow(), WallNow());
    Send(result);
    wake_at = result.wake_at;
  }
}

void CoordinatorLoop::Collect(RouterChannel& channel, Side side, std::vector<Incoming>& messages) {
  for (std::size_t count = 0; count < kMessagesPerStepMax / 2; ++count) {
    auto message = channel.Receive();
    if (!message) return;
    messages.push_back({side, std::move(message->peer), std::move(message->bytes)});
  }
}

void CoordinatorLoop::Send(const StepResult& result) {
  for (const Outgoing& outgoing : result.messages) {
    const bool sent = std::visit(
        [&](const auto& message) {
          constexpr bool to_client = std::is_same_v<std::decay_t<decltype(message)>, wire::ClientReply>;
          return (to_client ? clients_ : workers_).Send(outgoing.peer, message);
        },
        outgoing.message);
    // Whoever misses it asks again.
    if (!sent) spdlog::debug("A message was dropped: its receiver is gone or does not read");
  }
}

}  // namespace dicom_sender
