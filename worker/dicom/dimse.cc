#include "worker/dicom/dimse.h"

#include <fmt/format.h>

#include <optional>

#include "worker/dicom/byte_order.h"

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

// What was found of the elements that a command may not lack.
struct Found {
  std::optional<std::uint16_t> field, message_id, responded_to, data_set_type, status;
};

tl::expected<void, std::string> TakeU16(ByteView value, std::uint16_t element, std::optional<std::uint16_t>& out) {
  if (value.size() != 2) {
    return tl::unexpected(fmt::format("command element (0000,{:04X}) has {} bytes, not 2", element, value.size()));
  }
  out = GetU16Little(value);
  return {};
}

tl::expected<void, std::string> TakeUid(ByteView value, std::uint16_t element, std::string_view& out) {
  out = Trimmed(AsText(value));
  if (out.size() <= kUidBytesMax) return {};
  return tl::unexpected(fmt::format("UID in (0000,{:04X}) has {} characters", element, out.size()));
}

tl::expected<void, std::string> TakeOffendingElements(ByteView value, std::vector<std::uint32_t>& out) {
  if (value.size() % 4 != 0) return tl::unexpected(fmt::format("offending element has {} bytes", value.size()));
  for (; !value.empty(); value = value.subspan(4)) {
    out.push_back(static_cast<std::uint32_t>(GetU16Little(value)) << 16 | GetU16Little(value.subspan(2)));
  }
  return {};
}

tl::expected<void, std::string> TakeElement(std::uint16_t element, ByteView value, Command& command, Found& found) {
  switch (element) {
    case kAffectedSopClass:
      return TakeUid(value, element, command.sop_class_uid);
    case kAffectedSopInstance:
      return TakeUid(value, element, command.sop_instance_uid);
    case kCommandFieldElement:
      return TakeU16(value, element, found.field);
    case kMessageId:
      return TakeU16(value, element, found.message_id);
    case kMessageIdRespondedTo:
      return TakeU16(value, element, found.responded_to);
    case kDataSetType:
      return TakeU16(value, element, found.data_set_type);
    case kStatus:
      return TakeU16(value, element, found.status);
    case kOffendingElement:
      return TakeOffendingElements(value, command.offending_elements);
    case kErrorComment:
      command.error_comment = Trimmed(AsText(value));
      return {};
    default:  // the group length too: the PDVs say where the command set ends
      return {};
  }
}

tl::expected<Command, std::string> Complete(Command command, const Found& found) {
  if (!found.field) return tl::unexpected(std::string("command set without a command field"));
  if (!found.data_set_type) return tl::unexpected(std::string("command set without a data set type"));
  command.field = static_cast<CommandField>(*found.field);
  command.has_dataset = *found.data_set_type != kNoDataSet;
  const auto& message_id = IsResponse(command.field) ? found.responded_to : found.message_id;
  if (!message_id) return tl::unexpected(std::string("command set without a message id"));
  command.message_id = *message_id;
  if (IsResponse(command.field)) {
    if (!found.status) return tl::unexpected(std::string("response without a status"));
    command.status = *found.status;
  }
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
  for (std::size_t i = 0; i < 4; ++i) out[length_at + i] = static_cast<std::uint8_t>(group_length >> (8 * i));
}

tl::expected<Command, std::string> DecodeCommand(ByteView bytes) {
  if (bytes.size() > kCommandBytesMax) {
    return tl::unexpected(fmt::format("command set of {} bytes (at most {})", bytes.size(), kCommandBytesMax));
  }
  Command command;
  Found found;
  while (!bytes.empty()) {
    if (bytes.size() < kElementHeaderBytes) return tl::unexpected(std::string("command set ends inside an element"));
    const std::uint16_t group = GetU16Little(bytes);
    const std::uint16_t element = GetU16Little(bytes.subspan(2));
    const std::uint32_t length = GetU32Little(bytes.subspan(4));
    bytes = bytes.subspan(kElementHeaderBytes);
    if (group != 0) return tl::unexpected(fmt::format("element of group {:04X} in a command set", group));
    if (length > bytes.size()) return tl::unexpected(std::string("command set ends inside an element"));
    const auto taken = TakeElement(element, bytes.first(length), command, found);
    if (!taken) return tl::unexpected(taken.error());
    bytes = bytes.subspan(length);
  }
  return Complete(std::move(command), found);
}

}  // namespace dicom_sender
