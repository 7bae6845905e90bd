#include "programs/sender/echo.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "common/wake_event.h"
#include "dicom/network/tcp_association.h"
#include "dicom/network/verification.h"
#include "programs/sender/session.h"
#include "proto/words.h"
#include "session/session_settings.h"
#include "worker/association/association_request.h"

namespace dicom_sender {
namespace {

// Returns one sentence that says what failed; empty after success.
std::string Echo(const wire::OpenSession& settings, const WakeEvent& cancel) {
  SendingProgress progress;
  const auto associate = [&](const AssociationRequest& request) {
    return RequestAssociation(request, progress, &cancel, {});
  };
  return Verify(associate, RequestFor(settings.destination(), settings.send_options(), {})).failure;
}

// Lists options of the command line only: the environment and files may set options for other runs.
std::vector<std::string> UnusedOptions(const SenderOptions& options) {
  constexpr std::array<std::string_view, 10> kUsed = {"echo",         "ae-title",     "host",    "port",
                                                      "config",       "calling-ae",   "max-pdu", "connect-timeout",
                                                      "acse-timeout", "dimse-timeout"};
  std::vector<std::string> unused;
  for (const auto& [name, where] : options.given) {
    const bool is_used = std::find(kUsed.begin(), kUsed.end(), name) != kUsed.end();
    if (!is_used && where.starts_with("--")) unused.push_back(where);
  }
  return unused;
}

}  // namespace

int RunEcho(const SenderOptions& options, Console& console, std::stop_token stop) {
  if (const auto unused = UnusedOptions(options); !unused.empty()) {
    console.Warn(fmt::format("--echo sends only a C-ECHO: it does not use {}", fmt::join(unused, ", ")));
  }
  WakeEvent cancel;
  const std::stop_callback on_stop(stop, [&cancel] { cancel.Raise(); });
  const TimePoint begin = MonotonicNow();
  const wire::OpenSession settings = NewSessionSettings(options, "");
  const std::string failure = Echo(settings, cancel);
  if (stop.stop_requested()) return kExitInterrupted;
  const EchoView view{.destination = DestinationText(settings.destination()),
                      .calling_ae = settings.destination().calling_ae(),
                      .failure = failure,
                      .duration = MonotonicNow() - begin};
  if (failure.empty()) {
    console.Print(RenderEcho(view, console.style()));
    return kExitAllStored;
  }
  std::string line = RenderEcho(view, TerminalStyle{});
  line.pop_back();
  console.Error(line);
  return kExitDestination;
}

}  // namespace dicom_sender
