// The asking side of client.proto: one request, its reply.
#pragma once

#include <chrono>
#include <stop_token>
#include <string>
#include <tl/expected.hpp>

#include "client.pb.h"
#include "proto/channel.h"

namespace dicom_sender {

// One thread. A request is repeated while it is not answered; that changes nothing on the other side.
class CoordinatorClient {
 public:
  CoordinatorClient(zmq::context_t& context, const std::string& endpoint, const ClientSecurity* security = nullptr)
      : channel_(context, endpoint, security) {}

  // Waits for the reply at most `patience`, or until a stop is requested. The error is one sentence: the
  // coordinator's own, or that there is none.
  tl::expected<wire::ClientReply, std::string> Call(wire::ClientRequest request, std::stop_token stop = {},
                                                    std::chrono::seconds patience = std::chrono::seconds(120));

 private:
  DealerChannel channel_;
  std::uint64_t last_request_id_ = 0;
};

}  // namespace dicom_sender
