// The limits that DICOM and the Internet's standards set for an address and an identifier, and ours for a PDU.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dicom_sender {

inline constexpr std::size_t kAeTitleBytesMax = 16;          // PS3.5 6.2 AE; PS3.8 table 9-11
inline constexpr std::size_t kUidBytesMax = 64;              // PS3.5 9.1
inline constexpr std::size_t kAccessionNumberBytesMax = 64;  // PS3.5 6.2 SH: 16 characters of up to 4 bytes
inline constexpr std::size_t kHostBytesMax = 253;            // RFC 1035 2.3.4, written with dots
inline constexpr std::uint32_t kPortMax = 65535;

// The longest P-DATA-TF PDU that may be configured. PS3.8 D.1 sets no limit.
inline constexpr std::uint32_t kPduBytesMin = 4 << 10, kPduBytesMax = 128 << 10;

// The longest asynchronous operations window that may be configured (PS3.7 D.3.3.3).
inline constexpr std::uint16_t kAsyncWindowMax = 128;

}  // namespace dicom_sender
