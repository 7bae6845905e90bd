#include "dicom/network/response_reader.h"

#include <fmt/format.h>

#include <utility>

#include "dicom/network/dimse.h"

namespace dicom_sender {

ConnectionResult<bool> ResponseReader::Collect(TimePoint deadline) {
  if (!rest_.empty()) return CollectFrom(Bytes(std::move(rest_)));
  const auto pdu = connection_.Receive(deadline - MonotonicNow());
  if (!pdu) return tl::unexpected(pdu.error());
  if (pdu->type == PduType::kData) return CollectFrom(pdu->body);
  return ProtocolError(fmt::format("PDU of type {:02X}H instead of a response", static_cast<unsigned>(pdu->type)));
}

ConnectionResult<bool> ResponseReader::CollectFrom(ByteView body) {
  bool is_complete = false;
  while (!body.empty() && !is_complete) {
    const auto pdv = TakePdv(body);
    if (!pdv) return ProtocolError(pdv.error());
    if (!pdv->is_command) {
      if (auto skipped = SkipDataset(*pdv); !skipped) return tl::unexpected(skipped.error());
      continue;
    }
    if (!std::exchange(is_inside_, true)) {
      command_set_.clear();
      context_id_ = pdv->context_id;
    }
    if (pdv->context_id != context_id_) return ProtocolError("a response on two contexts");
    if (command_set_.size() + pdv->data.size() > kCommandBytesMax) return ProtocolError("response is too long");
    command_set_.insert(command_set_.end(), pdv->data.begin(), pdv->data.end());
    is_complete = pdv->is_last;
  }
  is_inside_ = is_inside_ && !is_complete;
  rest_.assign(body.begin(), body.end());
  return is_complete;
}

// The response to a C-STORE or C-ECHO has no dataset. But a PDV says whether it belongs to a dataset or to a command,
// so an unexpected dataset can be skipped, whatever the response announced.
ConnectionResult<void> ResponseReader::SkipDataset(const Pdv& pdv) {
  if (is_inside_ || !dataset_may_follow_) return ProtocolError("a dataset instead of a response");
  dataset_may_follow_ = !pdv.is_last;
  ignored_.Add("a dataset after a response");
  return {};
}

}  // namespace dicom_sender
