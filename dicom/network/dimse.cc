#include "dicom/network/dimse.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "dicom/byte_order.h"

namespace dicom_sender {
namespace {

// Elements of group 0000, PS3.7 E.1.
constexpr std::uint16_t kGroupLength = 0x0000;
constexpr std::uint16_t kAffectedSopClass = 0x0002;
constexpr std::uint16_t kCommandFieldElement = 0x0100;
constexpr std::uint16_t kMessageId = 0x0110;
constexpr std::uint16_t kMessageIdRespondedTo = 0x0120;
constexpr std::uint16_t kPriority = 0x0700;
constexpr std::uint16_t kDataSetType = 0x0800;
constexpr std::uint16_t kStatus = 0x0900;
constexpr std::uint16_t kOffendingElement = 0x0901;
constexpr std::uint16_t kErrorComment = 0x0902;
constexpr std::uint16_t kAffectedSopInstance = 0x1000;

constexpr std::uint16_t kNoDataSet = 0x0101;
constexpr std::uint16_t kSomeDataSet = 0x0001;
constexpr std::uint16_t kPriorityMedium = 0x0000;
constexpr std::size_t kElementHeaderBytes = 8;

void PutHeader(Bytes& out, std::uint16_t element, std::size_t length) {
  PutU16Little(out, 0x0000);
  PutU16Little(out, element);
  PutU32Little(out, length);
}

void PutU16Element(Bytes& out, std::uint16_t element, std::uint16_t value) {
  PutHeader(out, element, 2);
  PutU16Little(out, value);
}

// UIDs are padded with a null, other texts with a space (PS3.5 6.2). An absent text is not encoded.
void PutTextElement(Bytes& out, std::uint16_t element, std::string_view text, char padding) {
  if (text.empty()) return;
  PutHeader(out, element, text.size() + text.size() % 2);
  out.insert(out.end(), text.begin(), text.end());
  if (text.size() % 2 != 0) out.push_back(static_cast<std::uint8_t>(padding));
}

void PutOffendingElements(Bytes& out, const std::vector<std::uint32_t>& tags) {
  if (tags.empty()) return;
  PutHeader(out, kOffendingElement, 4 * tags.size());
  for (const std::uint32_t tag : tags) {
    PutU16Little(out, tag >> 16);
    PutU16Little(out, tag);
  }
}

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && (text.back() == '\0' || text.back() == ' ')) text.remove_suffix(1);
  return text;
}

// The value of an element that a command must have.
struct Number {
  std::optional<std::uint16_t> value;
  bool is_contradicted = false;  // by a second element
};

struct Found {
  Number field, message_id, responded_to, data_set_type, status;
};

void TakeU16(ByteView value, std::uint16_t element, Number& out, Remarks& ignored) {
  const auto is_zero = [](std::uint8_t byte) { return byte == 0; };
  const bool is_u16 = value.size() >= 2 && std::ranges::all_of(value.subspan(2), is_zero);
  if (value.size() != 2) ignored.Add(fmt::format("the length of (0000,{:04X}), which is not 2", element));
  if (!is_u16) return;
  const std::uint16_t number = GetU16Little(value);
  out.is_contradicted = out.is_contradicted || (out.value && *out.value != number);
  out.value = number;
}

void TakeUid(ByteView value, std::uint16_t element, std::string_view& out, Remarks& ignored) {
  const std::string_view uid = Trimmed(AsText(value));
  if (uid.size() <= kUidBytesMax) {
    out = uid;
  } else {
    ignored.Add(fmt::format("a UID of more than {} characters in (0000,{:04X})", kUidBytesMax, element));
  }
}

void TakeOffendingElements(ByteView value, std::vector<std::uint32_t>& out, Remarks& ignored) {
  if (value.size() % 4 != 0) {
    ignored.Add("an Offending Element that is not a list of tags");
    return;
  }
  for (; !value.empty(); value = value.subspan(4)) {
    out.push_back(static_cast<std::uint32_t>(GetU16Little(value)) << 16 | GetU16Little(value.subspan(2)));
  }
}

void TakeElement(std::uint16_t element, ByteView value, Command& command, Found& found, Remarks& ignored) {
  switch (element) {
    case kAffectedSopClass:
      return TakeUid(value, element, command.sop_class_uid, ignored);
    case kAffectedSopInstance:
      return TakeUid(value, element, command.sop_instance_uid, ignored);
    case kCommandFieldElement:
      return TakeU16(value, element, found.field, ignored);
    case kMessageId:
      return TakeU16(value, element, found.message_id, ignored);
    case kMessageIdRespondedTo:
      return TakeU16(value, element, found.responded_to, ignored);
    case kDataSetType:
      return TakeU16(value, element, found.data_set_type, ignored);
    case kStatus:
      return TakeU16(value, element, found.status, ignored);
    case kOffendingElement:
      return TakeOffendingElements(value, command.offending_elements, ignored);
    case kErrorComment:
      command.error_comment = Trimmed(AsText(value));
      return;
    default:  // the group length too: the PDVs say where the command set ends
      return;
  }
}

tl::expected<std::uint16_t, std::string> Required(const Number& number, std::string_view name) {
  if (number.is_contradicted) return tl::unexpected(fmt::format("command set with two values of its {}", name));
  if (!number.value) return tl::unexpected(fmt::format("command set without a {}", name));
  return *number.value;
}

tl::expected<Command, std::string> CompleteResponse(Command command, const Found& found, Remarks& ignored) {
  const auto message_id = Required(found.responded_to, "message id being responded to");
  if (!message_id) return tl::unexpected(message_id.error());
  const auto status = Required(found.status, "status");
  if (!status) return tl::unexpected(status.error());
  if (!found.data_set_type.value) ignored.Add("a response without a data set type");
  command.message_id = *message_id;
  command.status = *status;
  command.has_dataset = found.data_set_type.value.value_or(kNoDataSet) != kNoDataSet;
  return command;
}

tl::expected<Command, std::string> CompleteRequest(Command command, const Found& found) {
  const auto message_id = Required(found.message_id, "message id");
  if (!message_id) return tl::unexpected(message_id.error());
  const auto data_set_type = Required(found.data_set_type, "data set type");
  if (!data_set_type) return tl::unexpected(data_set_type.error());
  command.message_id = *message_id;
  command.has_dataset = *data_set_type != kNoDataSet;
  if (command.field == CommandField::kStoreRequest &&
      (command.sop_class_uid.empty() || command.sop_instance_uid.empty())) {
    return tl::unexpected(std::string("C-STORE request without a SOP class or SOP instance UID"));
  }
  return command;
}

}  // namespace

bool IsResponse(CommandField field) { return (static_cast<std::uint16_t>(field) & 0x8000U) != 0; }

void EncodeCommand(const Command& command, Bytes& out) {
  const bool is_response = IsResponse(command.field);
  PutHeader(out, kGroupLength, 4);
  const std::size_t length_at = out.size();
  PutU32Little(out, 0);
  PutTextElement(out, kAffectedSopClass, command.sop_class_uid, '\0');
  PutU16Element(out, kCommandFieldElement, static_cast<std::uint16_t>(command.field));
  PutU16Element(out, is_response ? kMessageIdRespondedTo : kMessageId, command.message_id);
  if (command.field == CommandField::kStoreRequest) PutU16Element(out, kPriority, kPriorityMedium);
  PutU16Element(out, kDataSetType, command.has_dataset ? kSomeDataSet : kNoDataSet);
  if (is_response) {
    PutU16Element(out, kStatus, command.status);
    PutOffendingElements(out, command.offending_elements);
    PutTextElement(out, kErrorComment, command.error_comment, ' ');
  }
  PutTextElement(out, kAffectedSopInstance, command.sop_instance_uid, '\0');
  const std::size_t group_length = out.size() - length_at - 4;
  SetNumber(std::span(out).subspan(length_at, 4), group_length, /*big_endian=*/false);
}

tl::expected<Command, std::string> DecodeCommand(ByteView bytes, Remarks& ignored) {
  if (bytes.size() > kCommandBytesMax) {
    return tl::unexpected(fmt::format("command set of {} bytes (at most {})", bytes.size(), kCommandBytesMax));
  }
  Command command;
  Found found;
  while (!bytes.empty()) {
    const bool has_header = bytes.size() >= kElementHeaderBytes;
    if (!has_header || GetU32Little(bytes.subspan(4)) > bytes.size() - kElementHeaderBytes) {
      ignored.Add("the end of a command set, which is inside an element");
      break;
    }
    const std::uint16_t group = GetU16Little(bytes);
    const std::uint16_t element = GetU16Little(bytes.subspan(2));
    const ByteView value = bytes.subspan(kElementHeaderBytes, GetU32Little(bytes.subspan(4)));
    bytes = bytes.subspan(kElementHeaderBytes + value.size());
    if (group == 0) {
      TakeElement(element, value, command, found, ignored);
    } else {
      ignored.Add(fmt::format("an element of group {:04X} in a command set", group));
    }
  }
  const auto field = Required(found.field, "command field");
  if (!field) return tl::unexpected(field.error());
  command.field = static_cast<CommandField>(*field);
  if (IsResponse(command.field)) return CompleteResponse(std::move(command), found, ignored);
  return CompleteRequest(std::move(command), found);
}

}  // namespace dicom_sender
