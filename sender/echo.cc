#include "sender/echo.h"

#include "client/session_settings.h"
#include "common/wake_event.h"
#include "sender/session.h"
#include "worker/core/association_request.h"
#include "worker/dicom/tcp_association.h"
#include "worker/dicom/verification.h"

namespace dicom_sender {
namespace {

// One sentence; empty: success.
std::string Echo(const wire::OpenSession& settings, const WakeEvent& cancel) {
  SendingProgress progress;
  const auto associate = [&](const AssociationRequest& request) {
    return RequestAssociation(request, progress, &cancel, {});
  };
  return Verify(associate, RequestFor(settings.destination(), settings.send_options(), {})).failure;
}

}  // namespace

int RunEcho(const SenderOptions& options, Console& console, std::stop_token stop) {
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
