// Numbers that PDUs are made of, for their encoder and their decoder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace dicom_sender {

// PS3.8 9.3.2 to 9.3.3, annex D.1; PS3.7 D.3.3.
inline constexpr std::uint8_t kApplicationContextItem = 0x10;
inline constexpr std::uint8_t kProposedContextItem = 0x20;
inline constexpr std::uint8_t kContextAnswerItem = 0x21;
inline constexpr std::uint8_t kAbstractSyntaxItem = 0x30;
inline constexpr std::uint8_t kTransferSyntaxItem = 0x40;
inline constexpr std::uint8_t kUserInformationItem = 0x50;
inline constexpr std::uint8_t kMaximumLengthItem = 0x51;
inline constexpr std::uint8_t kImplementationClassItem = 0x52;
inline constexpr std::uint8_t kAsyncWindowItem = 0x53;
inline constexpr std::uint8_t kImplementationVersionItem = 0x55;

inline constexpr std::string_view kApplicationContextName = "1.2.840.10008.3.1.1.1";  // PS3.7 A.2.1
inline constexpr std::uint16_t kProtocolVersion = 1;
inline constexpr std::size_t kItemHeaderBytes = 4;                         // type, reserved, length (2)
inline constexpr std::size_t kAssociateFixedBytes = 2 + 2 + 16 + 16 + 32;  // PS3.8 table 9-11, after the length
inline constexpr std::uint32_t kShortBodyBytes = 4;                        // reject, release and abort
inline constexpr std::uint8_t kCommandBit = 1, kLastBit = 2;               // message control header, PS3.8 E.2

}  // namespace dicom_sender
