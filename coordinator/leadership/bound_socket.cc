#include "coordinator/leadership/bound_socket.h"

#include <fmt/format.h>

#include "common/wake_event.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::milliseconds kRetryEvery(50);

}  // namespace

BoundSocket::BoundSocket(const std::optional<ServerSecurity>& security) {
  if (security) key_check_.emplace(context_, *security);
}

tl::expected<std::unique_ptr<BoundSocket>, std::string> BoundSocket::Bind(
    const std::string& endpoint, const std::optional<ServerSecurity>& security, Duration patience,
    const std::stop_token& stop) {
  WakeEvent stopped;
  const std::stop_callback on_stop(stop, [&stopped] { stopped.Raise(); });
  const TimePoint deadline = MonotonicNow() + patience;
  std::unique_ptr<BoundSocket> socket(new BoundSocket(security));
  for (;;) {
    try {
      socket->channel_ = std::make_unique<RouterChannel>(socket->context_, endpoint, security ? &*security : nullptr);
      return socket;
    } catch (const zmq::error_t& error) {
      if (MonotonicNow() < deadline && !stopped.WaitFor(kRetryEvery)) continue;
      return tl::unexpected(fmt::format(
          "--bind: cannot listen on '{}': {}; stop the other coordinator there, or give an address of this "
          "machine and a free port",
          endpoint, error.what()));
    }
  }
}

}  // namespace dicom_sender
