#include "transport/coordinator_client.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "proto/validate.h"

namespace dicom_sender {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kRepeatAfter(5);
constexpr std::chrono::milliseconds kStopCheck(100);

}  // namespace

tl::expected<wire::ClientReply, CallError> CoordinatorClient::Call(wire::ClientRequest request, std::stop_token stop,
                                                                   std::chrono::seconds patience) {
  request.set_request_id(++last_request_id_);
  const wire::ToCoordinator envelope = Envelope(std::move(request));
  const auto deadline = Clock::now() + patience;
  auto repeat_at = Clock::now();
  while (!stop.stop_requested() && Clock::now() < deadline) {
    while (auto bytes = channel_.Receive()) {
      if (auto answer = Take(*bytes)) return *std::move(answer);
    }
    if (channel_.Follow()) repeat_at = Clock::now();
    if (Clock::now() >= repeat_at && channel_.Send(envelope)) repeat_at = Clock::now() + kRepeatAfter;
    Wait();
  }
  if (stop.stop_requested()) return tl::unexpected(CallError{CallError::Kind::kStopped, "stopped"});
  return tl::unexpected(CallError{CallError::Kind::kNoAnswer, WhyNoAnswer(patience)});
}

void CoordinatorClient::Wait() {
  const auto until_follow = std::chrono::ceil<std::chrono::milliseconds>(channel_.follow_at() - Clock::now());
  std::array<zmq::pollitem_t, 2> items{
      {{channel_.socket().handle(), 0, ZMQ_POLLIN, 0}, {channel_.events().handle(), 0, ZMQ_POLLIN, 0}}};
  zmq::poll(items, std::clamp(until_follow, std::chrono::milliseconds(0), kStopCheck));
}

// Returns nullopt if the message does not answer the last request.
std::optional<CoordinatorClient::Answer> CoordinatorClient::Take(const std::string& bytes) {
  const auto fails = [](CallError::Kind kind, std::string reason) -> Answer {
    return tl::unexpected(CallError{kind, std::move(reason)});
  };
  auto envelope = ParseFromCoordinator(bytes);
  if (!envelope && !envelope.error().other_version) return std::nullopt;
  if (!envelope) return fails(CallError::Kind::kMismatch, "the coordinator's message: " + envelope.error().reason);
  channel_.Answered(!envelope->has_not_leading());
  if (envelope->has_not_leading()) return std::nullopt;
  if (envelope->has_refusal()) {
    const bool for_good = envelope->refusal().for_good();
    return fails(for_good ? CallError::Kind::kMismatch : CallError::Kind::kRefused,
                 "refused by the coordinator: " + envelope->refusal().reason());
  }
  wire::ClientReply& reply = *envelope->mutable_client();
  if (reply.request_id() != last_request_id_) return std::nullopt;  // of an earlier request
  if (reply.has_failure()) return fails(CallError::Kind::kRefused, reply.failure().reason());
  return std::move(reply);
}

std::string CoordinatorClient::WhyNoAnswer(std::chrono::seconds patience) {
  const std::string all = fmt::format("{}", fmt::join(channel_.endpoints(), ", "));
  if (channel_.saw_stand_by()) {
    return fmt::format(
        "no coordinator of {} has led for {} s: all are standbys; check the database server of their ledger", all,
        patience.count());
  }
  if (channel_.WaitUntilConnected(std::chrono::milliseconds(0))) {
    return fmt::format("coordinator {} did not answer for {} s", channel_.endpoint(), patience.count());
  }
  return fmt::format(
      "no connection to coordinator {} for {} s: check that it runs there and has this program's public key", all,
      patience.count());
}

}  // namespace dicom_sender
