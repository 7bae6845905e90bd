// The client side of client.proto: sends a request and waits for its reply.
#pragma once

#include <chrono>
#include <optional>
#include <stop_token>
#include <string>
#include <tl/expected.hpp>

#include "client.pb.h"
#include "transport/channel.h"

namespace dicom_sender {

struct CallError {
  enum class Kind {
    kRefused,   // the coordinator refused the request; `reason` is its own sentence
    kMismatch,  // the coordinator has another protocol version, or refuses this client
    kNoAnswer,  // no reply within the patience
    kStopped,   // a stop was requested
  };
  Kind kind = Kind::kRefused;
  std::string reason;  // one sentence
};

// Not thread-safe. Repeats a request until it is answered, at the next endpoint if there are several. Requests are
// idempotent.
class CoordinatorClient {
 public:
  CoordinatorClient(zmq::context_t& context, Endpoints endpoints, const ClientSecurity* security = nullptr)
      : channel_(context, std::move(endpoints), security) {}

  // Waits for the reply for at most `patience`, or until a stop is requested.
  tl::expected<wire::ClientReply, CallError> Call(wire::ClientRequest request, std::stop_token stop = {},
                                                  std::chrono::seconds patience = std::chrono::seconds(120));

 private:
  using Answer = tl::expected<wire::ClientReply, CallError>;
  void Wait();
  std::optional<Answer> Take(const std::string& bytes);
  std::string WhyNoAnswer(std::chrono::seconds patience);

  DealerChannel channel_;
  std::uint64_t last_request_id_ = 0;
};

}  // namespace dicom_sender
