#include "dicom/network/verification.h"

#include <fmt/format.h>

#include "dicom/dimse_status.h"
#include "dicom/network/dimse.h"
#include "dicom/transfer_syntax.h"

namespace dicom_sender {

Verification Verify(const Associate& associate, AssociationRequest request) {
  request.contexts = {{1,
                       std::string(kVerificationSopClass),
                       {std::string(kExplicitVrLittleEndian), std::string(kImplicitVrLittleEndian)}}};
  request.async_window = 1;
  auto association = associate(request);
  if (!association) {
    return {.cancelled = association.error().kind == AssociationFailureKind::kCancelled,
            .failure = association.error().reason};
  }
  const ContextAnswer& answer = (*association)->contexts().at(0);
  if (answer.result != ContextResult::kAccepted) {
    (*association)->Release();
    return {.answered = true, .failure = "it accepts the association but not the Verification SOP class"};
  }
  const auto status = (*association)->Echo(answer.id);
  if (!status) {
    return {.cancelled = status.error().kind == StoreFailureKind::kCancelled, .failure = status.error().reason};
  }
  (*association)->Release();
  return {.answered = true, .failure = *status == 0 ? "" : fmt::format("it answered {}", DescribeStatus(*status))};
}

}  // namespace dicom_sender
