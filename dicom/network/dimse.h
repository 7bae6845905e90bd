// DIMSE command sets (PS3.7 sections 9.3.1 C-STORE, 9.3.5 C-ECHO, annex E.1), implicit VR little endian, encoded and
// decoded directly from and to bytes. Pure and thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "dicom/network/pdu.h"

namespace dicom_sender {

inline constexpr std::size_t kCommandBytesMax = 65536;  // a C-STORE command set has some 250
inline constexpr std::string_view kVerificationSopClass = "1.2.840.10008.1.1";

// PS3.7 E.1, element (0000,0100). A value from outside may be none of these.
enum class CommandField : std::uint16_t {
  kStoreRequest = 0x0001,
  kStoreResponse = 0x8001,
  kEchoRequest = 0x0030,
  kEchoResponse = 0x8030,
};

// One command set, request or response. The texts are views of the caller's strings, or of the decoded bytes.
struct Command {
  CommandField field = CommandField::kEchoRequest;
  std::uint16_t message_id = 0;                   // (0000,0110) of a request, (0000,0120) of a response
  bool has_dataset = false;                       // (0000,0800) is not 0101H
  std::uint16_t status = 0;                       // (0000,0900), responses only
  std::string_view sop_class_uid;                 // (0000,0002)
  std::string_view sop_instance_uid;              // (0000,1000), C-STORE only
  std::string_view error_comment;                 // (0000,0902), responses only; as received: see PrintableText
  std::vector<std::uint32_t> offending_elements;  // (0000,0901), responses only; group << 16 | element
};

// True for the commands that carry a status (PS3.7 E.1: bit 15).
bool IsResponse(CommandField field);

// Appends the command set to `out`, without the fields that the command does not have. The priority is MEDIUM.
void EncodeCommand(const Command& command, Bytes& out);

// Decodes a whole command set. The caller checks whether the command may come now.
//
// A response needs its command field, message id and status. It is an error only if one of these is missing or has
// two values. Anything else that is wrong is ignored, with a remark. A request must also have a data set type, and a
// C-STORE-RQ both of its UIDs. Elements that are not named above are skipped.
tl::expected<Command, std::string> DecodeCommand(ByteView bytes, Remarks& ignored);

}  // namespace dicom_sender
