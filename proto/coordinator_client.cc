#include "proto/coordinator_client.h"

#include <fmt/format.h>

#include "proto/validate.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::seconds kRepeatAfter(5);
constexpr std::chrono::milliseconds kStopCheck(100);

}  // namespace

tl::expected<wire::ClientReply, std::string> CoordinatorClient::Call(wire::ClientRequest request,
                                                                     std::stop_token stop,
                                                                     std::chrono::seconds patience) {
  using Clock = std::chrono::steady_clock;
  request.set_request_id(++last_request_id_);
  const wire::ToCoordinator envelope = Envelope(std::move(request));
  const auto deadline = Clock::now() + patience;
  auto repeat_at = Clock::now();
  while (!stop.stop_requested() && Clock::now() < deadline) {
    if (Clock::now() >= repeat_at) {
      const bool sent = channel_.Send(envelope);  // not before there is a connection
      repeat_at = Clock::now() + (sent ? std::chrono::milliseconds(kRepeatAfter) : kStopCheck);
    }
    zmq::pollitem_t item{channel_.socket().handle(), 0, ZMQ_POLLIN, 0};
    zmq::poll(&item, 1, kStopCheck);
    while (auto bytes = channel_.Receive()) {
      auto answer = ParseFromCoordinator(*bytes);
      if (!answer && !answer.error().other_version) continue;
      if (!answer) return tl::unexpected("the coordinator's message: " + answer.error().reason);
      if (answer->has_refusal()) return tl::unexpected("refused by the coordinator: " + answer->refusal().reason());
      if (answer->client().request_id() != last_request_id_) continue;  // of an earlier request
      if (answer->client().has_failure()) return tl::unexpected(answer->client().failure().reason());
      return std::move(*answer->mutable_client());
    }
  }
  if (stop.stop_requested()) return tl::unexpected(std::string("stopped"));
  return tl::unexpected(fmt::format("the coordinator did not answer for {} s", patience.count()));
}

}  // namespace dicom_sender
