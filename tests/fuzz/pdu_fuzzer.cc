// Random bytes from a destination: PDUs, PDVs, and command sets. Whatever can be decoded must survive a round trip
// after which nothing is ignored any more.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "dicom/network/dimse.h"
#include "dicom/network/pdu.h"

namespace {

using namespace dicom_sender;

void Require(bool condition) {
  if (!condition) std::abort();
}

ByteView Body(const Bytes& pdu) { return ByteView(pdu).subspan(kPduHeaderBytes); }

void RequireSame(const Command& first, const Command& second) {
  Require(first.field == second.field && first.message_id == second.message_id && first.status == second.status);
  Require(first.sop_class_uid == second.sop_class_uid && first.sop_instance_uid == second.sop_instance_uid);
}

void TryCommand(ByteView bytes) {
  Remarks ignored, ignored_again;
  const auto command = DecodeCommand(bytes, ignored);
  if (!command) return;
  Bytes again;
  EncodeCommand(*command, again);
  if (again.size() > kCommandBytesMax) return;  // the encoder added padding and a group length
  const auto second = DecodeCommand(again, ignored_again);
  Require(second.has_value() && ignored_again.all().empty());
  RequireSame(*command, *second);
  PrintableText(command->error_comment);
}

void TryAssociate(ByteView body) {
  if (const auto request = DecodeAssociateRequest(body); request && request->called_ae.size() <= kAeTitleBytesMax) {
    const auto again = DecodeAssociateRequest(Body(EncodeAssociateRequest(*request)));
    Require(again.has_value());
  }
  Remarks ignored, ignored_again;
  if (const auto accept = DecodeAssociateAccept(body, ignored)) {
    const auto again = DecodeAssociateAccept(Body(EncodeAssociateAccept(*accept)), ignored_again);
    Require(again && *again == *accept && ignored_again.all().empty());
  }
}

void TryShort(ByteView body) {
  if (const auto reject = DecodeAssociateReject(body)) DescribeReject(*reject);
  if (const auto abort = DecodeAbort(body)) DescribeAbort(*abort);
}

void TryData(ByteView body) {
  while (!body.empty()) {
    const auto pdv = TakePdv(body);
    if (!pdv) return;
    if (pdv->is_command) TryCommand(pdv->data);
  }
}

}  // namespace

// The first byte chooses the decoder, so that short inputs reach each of them.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView input(data, size);
  if (input.size() >= kPduHeaderBytes) DecodePduHeader(input);
  if (input.empty()) return 0;
  const ByteView body = input.subspan(1);
  switch (input[0] % 4) {
    case 0:
      TryAssociate(body);
      break;
    case 1:
      TryData(body);
      break;
    case 2:
      TryCommand(body);
      break;
    default:
      TryShort(body);
      break;
  }
  return 0;
}
