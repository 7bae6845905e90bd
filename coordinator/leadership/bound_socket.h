// The ROUTER socket that indexers, workers, and operators connect to. Each phase of a coordinator (leader, standby)
// binds its own one in a new ZeroMQ context, so messages that were queued in an earlier phase are gone.
#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <tl/expected.hpp>
#include <zmq.hpp>

#include "common/time.h"
#include "transport/channel.h"
#include "transport/security.h"

namespace dicom_sender {

// How long a port may still be in use after its socket was closed.
inline constexpr std::chrono::seconds kRebindWithin(5);

class BoundSocket {
 public:
  // Retries for `patience` while the endpoint is in use, or until a stop is requested. The error is one sentence.
  static tl::expected<std::unique_ptr<BoundSocket>, std::string> Bind(const std::string& endpoint,
                                                                      const std::optional<ServerSecurity>& security,
                                                                      Duration patience, const std::stop_token& stop);
  RouterChannel& channel() { return *channel_; }

 private:
  explicit BoundSocket(const std::optional<ServerSecurity>& security);

  zmq::context_t context_;
  std::optional<ZapHandler> key_check_;
  std::unique_ptr<RouterChannel> channel_;
};

}  // namespace dicom_sender
