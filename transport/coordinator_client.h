// The asking side of client.proto: one request, its reply.
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
    kRefused,   // by the coordinator: its own sentence
    kMismatch,  // it speaks another version of the protocol, or does not let us in at all
    kNoAnswer,  // within the patience
    kStopped,   // as requested
  };
  Kind kind = Kind::kRefused;
  std::string reason;  // one sentence
};

// One thread. A request is repeated while it is not answered, at the next endpoint where there are several; that
// changes nothing on the other side.
class CoordinatorClient {
 public:
  CoordinatorClient(zmq::context_t& context, Endpoints endpoints, const ClientSecurity* security = nullptr)
      : channel_(context, std::move(endpoints), security) {}

  // Waits for the reply at most `patience`, or until a stop is requested.
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
