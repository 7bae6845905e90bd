// Where indexers, workers and operators come in: the ROUTER of one phase, in a context of its own, so that nothing
// that was queued for or by an earlier phase is left.
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

class Door {
 public:
  // Binds the endpoint; tries again for `patience` while it is taken, and gives up when a stop is requested. The
  // error is one sentence.
  static tl::expected<std::unique_ptr<Door>, std::string> Open(const std::string& endpoint,
                                                               const std::optional<ServerSecurity>& security,
                                                               Duration patience, const std::stop_token& stop);
  RouterChannel& channel() { return *channel_; }

 private:
  explicit Door(const std::optional<ServerSecurity>& security);

  zmq::context_t context_;
  std::optional<ZapHandler> key_check_;
  std::unique_ptr<RouterChannel> channel_;
};

}  // namespace dicom_sender
