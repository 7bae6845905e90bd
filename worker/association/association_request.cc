#include "worker/association/association_request.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace dicom_sender {

AssociationRequest RequestFor(const wire::Destination& destination, const wire::SendOptions& options,
                              std::vector<ProposedContext> contexts) {
  using std::chrono::milliseconds;
  const auto window = std::max(options.async_window(), 1U);
  return {.host = destination.host(),
          .port = static_cast<std::uint16_t>(destination.port()),
          .called_ae = destination.called_ae(),
          .calling_ae = destination.calling_ae(),
          .contexts = std::move(contexts),
          .max_pdu_bytes = options.max_pdu_bytes(),
          .async_window = static_cast<std::uint16_t>(window),
          .timeouts = {.connect = milliseconds(options.connect_timeout_ms()),
                       .acse = milliseconds(options.acse_timeout_ms()),
                       .dimse = milliseconds(options.dimse_timeout_ms()),
                       .idle = milliseconds(options.idle_timeout_ms())}};
}

}  // namespace dicom_sender
