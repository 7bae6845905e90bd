// Integers in the two byte orders of the wire: big endian in PDUs (PS3.8 9.3.1), little endian in command sets
// (PS3.7 6.3.1).
#pragma once

#include <cstdint>

#include "dicom/network/pdu.h"

namespace dicom_sender {

inline void PutU16Big(Bytes& out, std::size_t value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8));
  out.push_back(static_cast<std::uint8_t>(value));
}

inline void PutU32Big(Bytes& out, std::size_t value) {
  PutU16Big(out, value >> 16);
  PutU16Big(out, value);
}

inline void PutU16Little(Bytes& out, std::size_t value) {
  out.push_back(static_cast<std::uint8_t>(value));
  out.push_back(static_cast<std::uint8_t>(value >> 8));
}

inline void PutU32Little(Bytes& out, std::size_t value) {
  PutU16Little(out, value);
  PutU16Little(out, value >> 16);
}

// The view must be long enough: the caller has checked.
inline std::uint16_t GetU16Big(ByteView in) { return static_cast<std::uint16_t>(in[0] << 8 | in[1]); }
inline std::uint32_t GetU32Big(ByteView in) {
  return static_cast<std::uint32_t>(GetU16Big(in)) << 16 | GetU16Big(in.subspan(2));
}
inline std::uint16_t GetU16Little(ByteView in) { return static_cast<std::uint16_t>(in[1] << 8 | in[0]); }
inline std::uint32_t GetU32Little(ByteView in) {
  return static_cast<std::uint32_t>(GetU16Little(in.subspan(2))) << 16 | GetU16Little(in);
}

inline std::string_view AsText(ByteView in) { return {reinterpret_cast<const char*>(in.data()), in.size()}; }

}  // namespace dicom_sender
