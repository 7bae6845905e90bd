#include <cassert>
#include <utility>

#include "dicom/byte_order.h"
#include "dicom/network/pdu.h"
#include "dicom/network/pdu_items.h"

namespace dicom_sender {
namespace {

// Writes an item's header and, when it goes out of scope, the length of what was written since. Items can be nested.
class ItemWriter {
 public:
  ItemWriter(Bytes& out, std::uint8_t type) : out_(out) {
    out_.insert(out_.end(), {type, 0, 0, 0});
    start_ = out_.size();
  }
  ItemWriter(const ItemWriter&) = delete;
  ItemWriter& operator=(const ItemWriter&) = delete;
  ~ItemWriter() {
    const std::size_t length = out_.size() - start_;
    assert(length <= 0xFFFF);
    SetNumber(std::span(out_).subspan(start_ - 2, 2), length, /*big_endian=*/true);
  }

 private:
  Bytes& out_;
  std::size_t start_ = 0;
};

void PutText(Bytes& out, std::string_view text) { out.insert(out.end(), text.begin(), text.end()); }

void PutTextItem(Bytes& out, std::uint8_t type, std::string_view text) {
  const ItemWriter item(out, type);
  PutText(out, text);
}

void PutAeTitle(Bytes& out, std::string_view title) {
  assert(title.size() <= kAeTitleBytesMax);
  PutText(out, title);
  out.insert(out.end(), kAeTitleBytesMax - title.size(), ' ');
}

void PutUserInformation(Bytes& out, const UserInformation& user) {
  const ItemWriter item(out, kUserInformationItem);
  {
    const ItemWriter maximum_length(out, kMaximumLengthItem);
    PutU32Big(out, user.max_pdu_bytes);
  }
  PutTextItem(out, kImplementationClassItem, user.implementation_class_uid);
  if (user.async_window) {
    const ItemWriter window(out, kAsyncWindowItem);
    PutU16Big(out, user.async_window->invoked_max);
    PutU16Big(out, user.async_window->performed_max);
  }
  assert(user.implementation_version.size() <= kVersionNameBytesMax);
  if (!user.implementation_version.empty()) {
    PutTextItem(out, kImplementationVersionItem, user.implementation_version);
  }
}

Bytes StartPdu(PduType type) { return {static_cast<std::uint8_t>(type), 0, 0, 0, 0, 0}; }

Bytes FinishPdu(Bytes pdu) {
  SetNumber(std::span(pdu).subspan(2, 4), pdu.size() - kPduHeaderBytes, /*big_endian=*/true);
  return pdu;
}

Bytes StartAssociatePdu(PduType type, std::string_view called_ae, std::string_view calling_ae) {
  Bytes pdu = StartPdu(type);
  PutU16Big(pdu, kProtocolVersion);
  PutU16Big(pdu, 0);
  PutAeTitle(pdu, called_ae);
  PutAeTitle(pdu, calling_ae);
  pdu.insert(pdu.end(), 32, 0);
  PutTextItem(pdu, kApplicationContextItem, kApplicationContextName);
  return pdu;
}

Bytes ShortPdu(PduType type, std::uint8_t second, std::uint8_t third, std::uint8_t fourth) {
  Bytes pdu = StartPdu(type);
  pdu.insert(pdu.end(), {0, second, third, fourth});
  return FinishPdu(std::move(pdu));
}

}  // namespace

Bytes EncodeAssociateRequest(const AssociateRequest& request) {
  assert(request.contexts.size() <= kContextsMax);
  Bytes pdu = StartAssociatePdu(PduType::kAssociateRequest, request.called_ae, request.calling_ae);
  for (const ProposedContext& context : request.contexts) {
    assert(context.transfer_syntaxes.size() <= kSyntaxesMax);
    const ItemWriter item(pdu, kProposedContextItem);
    pdu.insert(pdu.end(), {context.id, 0, 0, 0});
    PutTextItem(pdu, kAbstractSyntaxItem, context.abstract_syntax);
    for (const std::string& syntax : context.transfer_syntaxes) PutTextItem(pdu, kTransferSyntaxItem, syntax);
  }
  PutUserInformation(pdu, request.user);
  return FinishPdu(std::move(pdu));
}

Bytes EncodeAssociateAccept(const AssociateAccept& accept) {
  Bytes pdu = StartAssociatePdu(PduType::kAssociateAccept, accept.called_ae, accept.calling_ae);
  for (const ContextAnswer& answer : accept.contexts) {
    const ItemWriter item(pdu, kContextAnswerItem);
    pdu.insert(pdu.end(), {answer.id, 0, static_cast<std::uint8_t>(answer.result), 0});
    // Always one transfer syntax item, though not significant in a refusal (PS3.8 table 9-18).
    PutTextItem(pdu, kTransferSyntaxItem, answer.transfer_syntax);
  }
  PutUserInformation(pdu, accept.user);
  return FinishPdu(std::move(pdu));
}

Bytes EncodeAssociateReject(const AssociateReject& reject) {
  return ShortPdu(PduType::kAssociateReject, reject.result, reject.source, reject.reason);
}

Bytes EncodeReleaseRequest() { return ShortPdu(PduType::kReleaseRequest, 0, 0, 0); }
Bytes EncodeReleaseResponse() { return ShortPdu(PduType::kReleaseResponse, 0, 0, 0); }
Bytes EncodeAbort(const AbortPdu& abort) { return ShortPdu(PduType::kAbort, 0, abort.source, abort.reason); }

DataHeader EncodeDataHeader(std::uint8_t context_id, bool is_command, bool is_last, std::uint32_t fragment_bytes) {
  const std::uint32_t pdv = fragment_bytes + 2;  // with the context id and the message control header
  const std::uint32_t pdu = pdv + 4;
  const int control = (is_command ? kCommandBit : 0) | (is_last ? kLastBit : 0);
  DataHeader header{static_cast<std::uint8_t>(PduType::kData)};
  SetNumber(std::span(header).subspan(2, 4), pdu, /*big_endian=*/true);
  SetNumber(std::span(header).subspan(6, 4), pdv, /*big_endian=*/true);
  header[10] = context_id;
  header[11] = static_cast<std::uint8_t>(control);
  return header;
}

}  // namespace dicom_sender
