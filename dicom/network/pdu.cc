#include "dicom/network/pdu.h"

#include <fmt/format.h>

#include <algorithm>
#include <bitset>
#include <cassert>
#include <cstring>

#include "dicom/byte_order.h"

namespace dicom_sender {
namespace {

// PS3.8 9.3.2 to 9.3.3, annex D.1; PS3.7 D.3.3.
constexpr std::uint8_t kApplicationContextItem = 0x10;
constexpr std::uint8_t kProposedContextItem = 0x20;
constexpr std::uint8_t kContextAnswerItem = 0x21;
constexpr std::uint8_t kAbstractSyntaxItem = 0x30;
constexpr std::uint8_t kTransferSyntaxItem = 0x40;
constexpr std::uint8_t kUserInformationItem = 0x50;
constexpr std::uint8_t kMaximumLengthItem = 0x51;
constexpr std::uint8_t kImplementationClassItem = 0x52;
constexpr std::uint8_t kAsyncWindowItem = 0x53;
constexpr std::uint8_t kImplementationVersionItem = 0x55;

constexpr std::string_view kApplicationContextName = "1.2.840.10008.3.1.1.1";  // PS3.7 A.2.1
constexpr std::uint16_t kProtocolVersion = 1;
constexpr std::size_t kItemHeaderBytes = 4;                         // type, reserved, length (2)
constexpr std::size_t kAssociateFixedBytes = 2 + 2 + 16 + 16 + 32;  // PS3.8 table 9-11, after the length
constexpr std::uint32_t kShortBodyBytes = 4;                        // reject, release and abort
constexpr std::uint8_t kCommandBit = 1, kLastBit = 2;               // message control header, PS3.8 E.2

tl::unexpected<std::string> Bad(std::string reason) { return tl::unexpected(std::move(reason)); }

// ---- encoding

// Puts an item's header and, when it goes out of scope, the length of what was written since. So items nest.
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
    out_[start_ - 2] = static_cast<std::uint8_t>(length >> 8);
    out_[start_ - 1] = static_cast<std::uint8_t>(length);
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
  const std::size_t length = pdu.size() - kPduHeaderBytes;
  for (std::size_t i = 0; i < 4; ++i) pdu[5 - i] = static_cast<std::uint8_t>(length >> (8 * i));
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

// ---- decoding

struct Item {
  std::uint8_t type = 0;
  ByteView value;
};

tl::expected<Item, std::string> TakeItem(ByteView& rest) {
  if (rest.size() < kItemHeaderBytes) return Bad("ends inside an item header");
  const std::uint8_t type = rest[0];
  const std::size_t length = GetU16Big(rest.subspan(2));
  rest = rest.subspan(kItemHeaderBytes);
  if (length > rest.size()) return Bad(fmt::format("ends inside an item of type {:02X}H", type));
  const Item item{type, rest.first(length)};
  rest = rest.subspan(length);
  return item;
}

// Calls `take` for each item; the first error ends it. Items of unknown type are `take`'s to skip (PS3.8 9.3.1).
template <typename Take>
tl::expected<void, std::string> ForEachItem(ByteView rest, Take take) {
  while (!rest.empty()) {
    const auto item = TakeItem(rest);
    if (!item) return Bad(item.error());
    tl::expected<void, std::string> taken = take(*item);
    if (!taken) return taken;
  }
  return {};
}

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && (text.back() == ' ' || text.back() == '\0')) text.remove_suffix(1);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  return text;
}

tl::expected<void, std::string> TakeUid(ByteView value, std::string_view what, std::string& out) {
  const std::string_view text = Trimmed(AsText(value));
  if (text.size() > kUidBytesMax) return Bad(fmt::format("{} of {} characters", what, text.size()));
  out = text;
  return {};
}

// Nothing depends on these names: one that is too long is cut.
std::string NameOf(ByteView value, std::size_t bytes_max, std::string_view what, Remarks& ignored) {
  const std::string_view text = Trimmed(AsText(value));
  if (text.size() > bytes_max) ignored.Add(fmt::format("{} of more than {} characters", what, bytes_max));
  return std::string(Trimmed(text.substr(0, bytes_max)));
}

// The user information items of one PDU. Of repeated ones the first counts; one of a wrong length counts as absent.
class UserItems {
 public:
  UserItems(UserInformation& user, Remarks& ignored) : user_(user), ignored_(ignored) {}

  void Take(const Item& item) {
    switch (item.type) {
      case kMaximumLengthItem:
        if (IsFirst(item) && HasFourBytes(item, "a maximum length item")) user_.max_pdu_bytes = GetU32Big(item.value);
        return;
      case kImplementationClassItem:
        if (!IsFirst(item)) return;
        user_.implementation_class_uid = NameOf(item.value, kUidBytesMax, "an implementation class UID", ignored_);
        return;
      case kAsyncWindowItem:
        if (!IsFirst(item) || !HasFourBytes(item, "an asynchronous operations window item")) return;
        user_.async_window = AsyncWindow{GetU16Big(item.value), GetU16Big(item.value.subspan(2))};
        return;
      case kImplementationVersionItem:
        if (!IsFirst(item)) return;
        user_.implementation_version =
            NameOf(item.value, kVersionNameBytesMax, "an implementation version name", ignored_);
        return;
      default:  // role selection and extended negotiation: we ask for neither
        return;
    }
  }

 private:
  bool IsFirst(const Item& item) {
    const bool is_repeated = seen_[item.type];
    if (is_repeated) ignored_.Add("a user information item that is repeated");
    seen_.set(item.type);
    return !is_repeated;
  }
  bool HasFourBytes(const Item& item, std::string_view what) {
    if (item.value.size() != 4) ignored_.Add(fmt::format("{} that is not 4 bytes long", what));
    return item.value.size() == 4;
  }

  UserInformation& user_;
  Remarks& ignored_;
  std::bitset<256> seen_;
};

tl::expected<void, std::string> TakeSyntaxItem(const Item& item, ProposedContext& context) {
  if (item.type == kAbstractSyntaxItem) {
    if (!context.abstract_syntax.empty()) return Bad("presentation context with two abstract syntaxes");
    return TakeUid(item.value, "abstract syntax", context.abstract_syntax);
  }
  if (item.type != kTransferSyntaxItem) return {};
  if (context.transfer_syntaxes.size() == kSyntaxesMax) {
    return Bad(fmt::format("presentation context with more than {} transfer syntaxes", kSyntaxesMax));
  }
  return TakeUid(item.value, "transfer syntax", context.transfer_syntaxes.emplace_back());
}

constexpr std::size_t kContextHeaderBytes = 4;  // id, reserved, result or reserved, reserved

// Ids are odd and each is used once (PS3.8 table 9-13).
class ContextIds {
 public:
  // What is wrong with the id; empty if nothing.
  std::string_view Take(std::uint8_t id) {
    if (id % 2 == 0) return "a presentation context id that is even";
    if (seen_[id]) return "a presentation context id that is used twice";
    seen_.set(id);
    return {};
  }

 private:
  std::bitset<256> seen_;
};

tl::expected<void, std::string> TakeProposedContext(ByteView value, ContextIds& ids,
                                                    std::vector<ProposedContext>& contexts) {
  if (value.size() < kContextHeaderBytes) return Bad("presentation context item is too short");
  if (contexts.size() == kContextsMax) return Bad(fmt::format("more than {} presentation contexts", kContextsMax));
  if (const auto wrong = ids.Take(value[0]); !wrong.empty()) return Bad(std::string(wrong));
  ProposedContext& context = contexts.emplace_back();
  context.id = value[0];
  auto taken = ForEachItem(value.subspan(kContextHeaderBytes),
                           [&](const Item& item) { return TakeSyntaxItem(item, context); });
  if (!taken) return taken;
  if (context.abstract_syntax.empty()) return Bad(fmt::format("context {} has no abstract syntax", context.id));
  if (context.transfer_syntaxes.empty()) return Bad(fmt::format("context {} has no transfer syntax", context.id));
  return {};
}

// An answer whose items are broken has no transfer syntax, and whether that matters is the caller's question.
ContextAnswer ContextAnswerOf(ByteView value, Remarks& ignored) {
  ContextAnswer answer{value[0], static_cast<ContextResult>(value[2]), ""};
  if (answer.result != ContextResult::kAccepted) return answer;  // no other item is significant (PS3.8 table 9-18)
  const auto taken =
      ForEachItem(value.subspan(kContextHeaderBytes), [&](const Item& item) -> tl::expected<void, std::string> {
        if (item.type != kTransferSyntaxItem || !answer.transfer_syntax.empty()) return {};
        answer.transfer_syntax = Trimmed(Trimmed(AsText(item.value)).substr(0, kKeptUidBytesMax));
        return {};
      });
  if (!taken) ignored.Add("the end of an answer to a presentation context: it " + taken.error());
  return answer;
}

// An answer that cannot be attributed is ignored; of repeated ones the first counts.
void TakeContextAnswer(ByteView value, ContextIds& ids, std::vector<ContextAnswer>& contexts, Remarks& ignored) {
  if (value.size() < kContextHeaderBytes) {
    ignored.Add("an answer to a presentation context that is too short");
  } else if (const auto wrong = ids.Take(value[0]); !wrong.empty()) {
    ignored.Add(std::string(wrong));
  } else {
    contexts.push_back(ContextAnswerOf(value, ignored));
  }
}

// What A-ASSOCIATE-RQ and -AC have in common (PS3.8 tables 9-11 and 9-17): `take_context` takes the context items.
template <typename Pdu, typename TakeContext>
tl::expected<Pdu, std::string> DecodeAssociate(ByteView body, std::string_view name, Remarks& ignored,
                                               TakeContext take_context) {
  if (body.size() > kAssociatePduBytesMax) return Bad(fmt::format("{}: {} bytes", name, body.size()));
  if (body.size() < kAssociateFixedBytes) return Bad(fmt::format("{}: too short", name));
  if ((GetU16Big(body) & kProtocolVersion) == 0) return Bad(fmt::format("{}: unknown protocol version", name));
  Pdu pdu;
  pdu.called_ae = Trimmed(AsText(body.subspan(4, kAeTitleBytesMax)));
  pdu.calling_ae = Trimmed(AsText(body.subspan(20, kAeTitleBytesMax)));
  UserItems user(pdu.user, ignored);
  const auto take_user_item = [&](const Item& item) -> tl::expected<void, std::string> {
    user.Take(item);
    return {};
  };
  const auto taken = ForEachItem(body.subspan(kAssociateFixedBytes), [&](const Item& item) {
    if (item.type == kUserInformationItem) return ForEachItem(item.value, take_user_item);
    return take_context(item, pdu.contexts);
  });
  if (!taken) return Bad(fmt::format("{}: {}", name, taken.error()));
  return pdu;
}

tl::expected<void, std::string> CheckLength(const PduHeader& header) {
  std::uint32_t least = 0;
  std::uint32_t most = 0;
  switch (header.type) {
    case PduType::kAssociateRequest:
    case PduType::kAssociateAccept:
      least = kAssociateFixedBytes;
      most = kAssociatePduBytesMax;
      break;
    case PduType::kData:
      least = kPdvHeaderBytes;
      most = kDataPduBytesMax;
      break;
    case PduType::kAssociateReject:
    case PduType::kReleaseRequest:
    case PduType::kReleaseResponse:
    case PduType::kAbort:
      least = most = kShortBodyBytes;
      break;
    default:
      return Bad(fmt::format("unknown PDU type {:02X}H", static_cast<unsigned>(header.type)));
  }
  if (least <= header.length_bytes && header.length_bytes <= most) return {};
  return Bad(fmt::format("PDU of type {:02X}H with a length of {} bytes", static_cast<unsigned>(header.type),
                         header.length_bytes));
}

std::string_view RejectReason(const AssociateReject& reject) {
  switch (reject.source << 8 | reject.reason) {
    case 0x0101:
    case 0x0201:
      return "no reason given";
    case 0x0102:
      return "application context name not supported";
    case 0x0103:
      return "calling AE title not recognized";
    case 0x0107:
      return "called AE title not recognized";
    case 0x0202:
      return "protocol version not supported";
    case 0x0301:
      return "temporary congestion";
    case 0x0302:
      return "local limit exceeded";
    default:
      return {};
  }
}

std::string_view RejectSource(std::uint8_t source) {
  switch (source) {
    case 1:
      return "the service user";
    case 2:
      return "the service provider (ACSE)";
    case 3:
      return "the service provider (presentation)";
    default:
      return "an unknown source";
  }
}

std::string_view AbortReason(std::uint8_t reason) {
  switch (reason) {
    case 0:
      return "reason not specified";
    case 1:
      return "unrecognized PDU";
    case 2:
      return "unexpected PDU";
    case 4:
      return "unrecognized PDU parameter";
    case 5:
      return "unexpected PDU parameter";
    case 6:
      return "invalid PDU parameter value";
    default:
      return {};
  }
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
  const auto byte = [](std::uint32_t value, int shift) { return static_cast<std::uint8_t>(value >> shift); };
  const int control = (is_command ? kCommandBit : 0) | (is_last ? kLastBit : 0);
  return {static_cast<std::uint8_t>(PduType::kData),
          0,
          byte(pdu, 24),
          byte(pdu, 16),
          byte(pdu, 8),
          byte(pdu, 0),
          byte(pdv, 24),
          byte(pdv, 16),
          byte(pdv, 8),
          byte(pdv, 0),
          context_id,
          static_cast<std::uint8_t>(control)};
}

tl::expected<PduHeader, std::string> DecodePduHeader(ByteView header) {
  assert(header.size() >= kPduHeaderBytes);
  const PduHeader decoded{static_cast<PduType>(header[0]), GetU32Big(header.subspan(2))};
  if (const auto checked = CheckLength(decoded); !checked) return Bad(checked.error());
  return decoded;
}

tl::expected<AssociateRequest, std::string> DecodeAssociateRequest(ByteView body) {
  ContextIds ids;
  Remarks ignored;
  bool has_application_context = false;
  auto request = DecodeAssociate<AssociateRequest>(
      body, "A-ASSOCIATE-RQ", ignored,
      [&](const Item& item, std::vector<ProposedContext>& contexts) -> tl::expected<void, std::string> {
        if (item.type == kApplicationContextItem) has_application_context = true;
        if (item.type != kProposedContextItem) return {};
        return TakeProposedContext(item.value, ids, contexts);
      });
  if (!request) return request;
  // Only tests decode requests: ours have to be right in everything.
  if (!ignored.all().empty()) return Bad("A-ASSOCIATE-RQ: " + ignored.all().front());
  if (!has_application_context) return Bad("A-ASSOCIATE-RQ: no application context");
  if (request->contexts.empty()) return Bad("A-ASSOCIATE-RQ: no presentation context");
  return request;
}

tl::expected<AssociateAccept, std::string> DecodeAssociateAccept(ByteView body, Remarks& ignored) {
  ContextIds ids;
  return DecodeAssociate<AssociateAccept>(
      body, "A-ASSOCIATE-AC", ignored,
      [&](const Item& item, std::vector<ContextAnswer>& contexts) -> tl::expected<void, std::string> {
        if (item.type == kContextAnswerItem) TakeContextAnswer(item.value, ids, contexts, ignored);
        return {};
      });
}

tl::expected<AssociateReject, std::string> DecodeAssociateReject(ByteView body) {
  if (body.size() != kShortBodyBytes) return Bad(fmt::format("A-ASSOCIATE-RJ of {} bytes", body.size()));
  return AssociateReject{body[1], body[2], body[3]};
}

tl::expected<AbortPdu, std::string> DecodeAbort(ByteView body) {
  if (body.size() != kShortBodyBytes) return Bad(fmt::format("A-ABORT of {} bytes", body.size()));
  return AbortPdu{body[2], body[3]};
}

tl::expected<Pdv, std::string> TakePdv(ByteView& body) {
  if (body.size() < kPdvHeaderBytes) return Bad("P-DATA-TF: ends inside a PDV header");
  const std::uint32_t length = GetU32Big(body);
  if (length < 2) return Bad(fmt::format("P-DATA-TF: PDV with a length of {}", length));
  if (length > body.size() - 4) return Bad("P-DATA-TF: ends inside a PDV");
  const std::uint8_t control = body[5];
  Pdv pdv{body[4], (control & kCommandBit) != 0, (control & kLastBit) != 0,
          body.subspan(kPdvHeaderBytes, length - 2)};
  body = body.subspan(4 + std::size_t{length});
  return pdv;
}

std::string DescribeReject(const AssociateReject& reject) {
  std::string reason(RejectReason(reject));
  if (reason.empty()) reason = fmt::format("unknown reason {}", reject.reason);
  std::string result = fmt::format("unknown result {}", reject.result);
  if (reject.result == kRejectResultPermanent) result = "permanent";
  if (reject.result == kRejectResultTransient) result = "transient";
  return fmt::format("rejected: {} ({}, by {})", reason, result, RejectSource(reject.source));
}

std::string DescribeAbort(const AbortPdu& abort) {
  // The reason is not significant when the user aborted (PS3.8 table 9-26).
  if (abort.source == 0) return "no reason (by the service user)";
  std::string reason(AbortReason(abort.reason));
  if (reason.empty()) reason = fmt::format("unknown reason {}", abort.reason);
  if (abort.source == 2) return reason + " (by the service provider)";
  return fmt::format("{} (by unknown source {})", reason, abort.source);
}

std::string_view DescribeContextResult(ContextResult result) {
  switch (result) {
    case ContextResult::kAccepted:
      return "accepted";
    case ContextResult::kUserRejected:
      return "rejected by the user";
    case ContextResult::kNoReason:
      return "rejected without a reason";
    case ContextResult::kAbstractSyntaxNotSupported:
      return "abstract syntax not supported";
    case ContextResult::kTransferSyntaxesNotSupported:
      return "transfer syntaxes not supported";
  }
  return "unknown result";
}

std::string PrintableText(std::string_view text) {
  std::string printable(text);
  std::replace_if(
      printable.begin(), printable.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return printable;
}

}  // namespace dicom_sender
