// Reads and writes integers in the two byte orders of DICOM: big endian in PDUs (PS3.8 9.3.1) and in compressed
// images, little endian in command sets (PS3.7 6.3.1), and either order in datasets (PS3.5 7.3).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace dicom_sender {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

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

// Fills `out` with the low bytes of `value`.
inline void SetNumber(std::span<std::uint8_t> out, std::uint64_t value, bool big_endian) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[big_endian ? out.size() - 1 - i : i] = static_cast<std::uint8_t>(value >> 8 * i);
  }
}

// The caller must check that the view is long enough.
inline std::uint16_t GetU16Big(ByteView in) { return static_cast<std::uint16_t>(in[0] << 8 | in[1]); }
inline std::uint16_t GetU16Little(ByteView in) { return static_cast<std::uint16_t>(in[1] << 8 | in[0]); }
inline std::uint32_t GetU32Big(ByteView in) {
  return static_cast<std::uint32_t>(GetU16Big(in)) << 16 | GetU16Big(in.subspan(2));
}
inline std::uint32_t GetU32Little(ByteView in) {
  return static_cast<std::uint32_t>(GetU16Little(in.subspan(2))) << 16 | GetU16Little(in);
}
inline std::uint16_t GetU16(ByteView in, bool big_endian) { return big_endian ? GetU16Big(in) : GetU16Little(in); }
inline std::uint32_t GetU32(ByteView in, bool big_endian) { return big_endian ? GetU32Big(in) : GetU32Little(in); }

// Reads all bytes of `in`, at most eight, as one number.
inline std::uint64_t GetNumber(ByteView in, bool big_endian) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < in.size(); ++i) number = number << 8 | in[big_endian ? i : in.size() - 1 - i];
  return number;
}

inline std::string_view AsText(ByteView in) { return {reinterpret_cast<const char*>(in.data()), in.size()}; }

}  // namespace dicom_sender
