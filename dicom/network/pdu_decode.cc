#include <fmt/format.h>

#include <bitset>
#include <cassert>
#include <utility>

#include "dicom/byte_order.h"
#include "dicom/network/pdu.h"
#include "dicom/network/pdu_items.h"

namespace dicom_sender {
namespace {

tl::unexpected<std::string> Bad(std::string reason) { return tl::unexpected(std::move(reason)); }

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

// Calls `take` for each item and stops at the first error. `take` skips items of an unknown type (PS3.8 9.3.1).
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

// Cuts a name that is too long, because nothing depends on it.
std::string NameOf(ByteView value, std::size_t bytes_max, std::string_view what, Remarks& ignored) {
  const std::string_view text = Trimmed(AsText(value));
  if (text.size() > bytes_max) ignored.Add(fmt::format("{} of more than {} characters", what, bytes_max));
  return std::string(Trimmed(text.substr(0, bytes_max)));
}

// Collects the user information items of one PDU. The first of repeated items counts. An item of a wrong length is
// treated as absent.
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

// An answer whose items are broken has no transfer syntax. The caller decides whether that matters.
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

// Ignores an answer that belongs to no context id. The first of repeated answers counts.
void TakeContextAnswer(ByteView value, ContextIds& ids, std::vector<ContextAnswer>& contexts, Remarks& ignored) {
  if (value.size() < kContextHeaderBytes) {
    ignored.Add("an answer to a presentation context that is too short");
  } else if (const auto wrong = ids.Take(value[0]); !wrong.empty()) {
    ignored.Add(std::string(wrong));
  } else {
    contexts.push_back(ContextAnswerOf(value, ignored));
  }
}

// Decodes what A-ASSOCIATE-RQ and -AC have in common (PS3.8 tables 9-11 and 9-17). `take_context` gets the other
// items.
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

}  // namespace

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
  // Only tests decode requests, and our requests must have nothing that a receiver would ignore.
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

}  // namespace dicom_sender
