#include "programs/coordinator/door.h"

#include <fmt/format.h>

#include "common/wake_event.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::milliseconds kTryEvery(50);

}  // namespace

Door::Door(const std::optional<ServerSecurity>& security) {
  if (security) key_check_.emplace(context_, *security);
}

tl::expected<std::unique_ptr<Door>, std::string> Door::Open(const std::string& endpoint,
                                                            const std::optional<ServerSecurity>& security,
                                                            Duration patience, const std::stop_token& stop) {
  WakeEvent stopped;
  const std::stop_callback on_stop(stop, [&stopped] { stopped.Raise(); });
  const TimePoint deadline = MonotonicNow() + patience;
  std::unique_ptr<Door> door(new Door(security));
  for (;;) {
    try {
      door->channel_ = std::make_unique<RouterChannel>(door->context_, endpoint, security ? &*security : nullptr);
      return door;
    } catch (const zmq::error_t& error) {
      if (MonotonicNow() < deadline && !stopped.WaitFor(kTryEvery)) continue;
      return tl::unexpected(fmt::format(
          "--bind: cannot listen on '{}': {}; stop the other coordinator there, or give an address of this "
          "machine and a free port",
          endpoint, error.what()));
    }
  }
}

}  // namespace dicom_sender
