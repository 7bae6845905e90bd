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
  request.set_protocol_version(kProtocolVersion);
  request.set_request_id(++last_request_id_);
  const auto deadline = Clock::now() + patience;
  auto repeat_at = Clock::now();
  while (!stop.stop_requested() && Clock::now() < deadline) {
    if (Clock::now() >= repeat_at) {
      channel_.Send(request);
      repeat_at = Clock::now() + kRepeatAfter;
    }
    zmq::pollitem_t item{channel_.socket().handle(), 0, ZMQ_POLLIN, 0};
    zmq::poll(&item, 1, kStopCheck);
    while (auto bytes = channel_.Receive()) {
      auto reply = ParseClientReply(*bytes);
      if (!reply || reply->request_id() != request.request_id()) continue;  // of an earlier request
      if (reply->has_failure()) return tl::unexpected(reply->failure().reason());
      return reply;
    }
  }
  if (stop.stop_requested()) return tl::unexpected(std::string("stopped"));
  return tl::unexpected(fmt::format("the coordinator did not answer for {} s", patience.count()));
}

}  // namespace dicom_sender
