// Writes DICOM datasets and files for tests, element by element, without a DICOM library. They may be invalid.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dicom_sender {

inline constexpr std::uint32_t kUndefined = 0xFFFFFFFF;
inline constexpr std::string_view kImplicit = "1.2.840.10008.1.2";
inline constexpr std::string_view kExplicit = "1.2.840.10008.1.2.1";
inline constexpr std::string_view kDeflate = "1.2.840.10008.1.2.1.99";
inline constexpr std::string_view kBigEndian = "1.2.840.10008.1.2.2";
inline constexpr std::string_view kJpegBaseline = "1.2.840.10008.1.2.4.50";
inline constexpr std::string_view kJpegLossless = "1.2.840.10008.1.2.4.70";
inline constexpr std::string_view kJpegLsLossless = "1.2.840.10008.1.2.4.80";
inline constexpr std::string_view kJpegLsLossy = "1.2.840.10008.1.2.4.81";
inline constexpr std::string_view kJpeg2000Lossless = "1.2.840.10008.1.2.4.90";
inline constexpr std::string_view kJpeg2000Any = "1.2.840.10008.1.2.4.91";
inline constexpr std::string_view kRleLossless = "1.2.840.10008.1.2.5";

inline constexpr std::string_view kCtClass = "1.2.840.10008.5.1.4.1.1.2";
inline constexpr std::string_view kSecondaryCaptureClass = "1.2.840.10008.5.1.4.1.1.7";

class DicomWriter {
 public:
  enum class Form { kImplicitLittle, kExplicitLittle, kExplicitBig };

  explicit DicomWriter(Form form = Form::kExplicitLittle) : form_(form) {}

  // PS3.5 7.1.2 and 7.1.3. `length` may differ from the value's length.
  DicomWriter& Header(std::uint16_t group, std::uint16_t element, std::string_view vr, std::uint32_t length) {
    Number(group, 2).Number(element, 2);
    if (form_ == Form::kImplicitLittle) return Number(length, 4);
    bytes_ += vr;
    if (!IsLong(vr)) return Number(length, 2);
    return Number(0, 2).Number(length, 4);
  }
  DicomWriter& Element(std::uint16_t group, std::uint16_t element, std::string_view vr, std::string_view value) {
    return Header(group, element, vr, static_cast<std::uint32_t>(value.size())).Raw(value);
  }
  // Pads the value to an even length with a space, or with a zero byte for a UID (PS3.5 6.2).
  DicomWriter& Text(std::uint16_t group, std::uint16_t element, std::string_view vr, std::string_view value) {
    std::string padded(value);
    if (padded.size() % 2 == 1) padded.push_back(vr == "UI" ? '\0' : ' ');
    return Element(group, element, vr, padded);
  }
  // Pads the value to an even length with a zero byte.
  DicomWriter& Binary(std::uint16_t group, std::uint16_t element, std::string_view vr,
                      std::span<const std::uint8_t> value) {
    return Header(group, element, vr, static_cast<std::uint32_t>(value.size() + value.size() % 2)).Padded(value);
  }
  DicomWriter& Us(std::uint16_t group, std::uint16_t element, std::uint32_t value) {
    return Header(group, element, "US", 2).Number(value, 2);
  }
  DicomWriter& Uid(std::uint16_t group, std::uint16_t element, std::string_view uid) {
    return Text(group, element, "UI", uid);
  }
  // A sequence with one item.
  DicomWriter& Sequence(std::uint16_t group, std::uint16_t element, std::string_view item) {
    const auto length = static_cast<std::uint32_t>(item.size());
    return Header(group, element, "SQ", length + 8).Item(length).Raw(item);
  }
  // Encapsulated pixel data (PS3.5 A.4). The first item is the Basic Offset Table.
  DicomWriter& Encapsulated(const std::vector<std::vector<std::uint8_t>>& fragments,
                            const std::vector<std::uint8_t>& offset_table = {}) {
    Header(0x7FE0, 0x0010, "OB", kUndefined).Fragment(offset_table);
    for (const auto& fragment : fragments) Fragment(fragment);
    return EndSequence();
  }
  // PS3.5 7.5: items and delimiters have no VR.
  DicomWriter& Item(std::uint32_t length) { return Number(0xFFFE, 2).Number(0xE000, 2).Number(length, 4); }
  DicomWriter& EndItem() { return Number(0xFFFE, 2).Number(0xE00D, 2).Number(0, 4); }
  DicomWriter& EndSequence() { return Number(0xFFFE, 2).Number(0xE0DD, 2).Number(0, 4); }
  DicomWriter& Raw(std::string_view bytes) {
    bytes_ += bytes;
    return *this;
  }
  DicomWriter& Number(std::uint32_t value, int count) {
    for (int i = 0; i < count; ++i) {
      const int shift = 8 * (form_ == Form::kExplicitBig ? count - 1 - i : i);
      bytes_.push_back(static_cast<char>(value >> shift));
    }
    return *this;
  }
  // SOP class, SOP instance "1.2.3.4" and study "1.2.3".
  DicomWriter& Uids() {
    return Uid(0x0008, 0x0016, kCtClass).Uid(0x0008, 0x0018, "1.2.3.4").Uid(0x0020, 0x000D, "1.2.3");
  }

  const std::string& bytes() const { return bytes_; }
  std::vector<std::uint8_t> byte_vector() const { return {bytes_.begin(), bytes_.end()}; }
  operator std::string_view() const { return bytes_; }  // NOLINT: to be used as bytes

 private:
  DicomWriter& Padded(std::span<const std::uint8_t> value) {
    bytes_.append(value.begin(), value.end());
    if (value.size() % 2 == 1) bytes_.push_back('\0');
    return *this;
  }
  DicomWriter& Fragment(std::span<const std::uint8_t> value) {
    return Item(static_cast<std::uint32_t>(value.size() + value.size() % 2)).Padded(value);
  }
  static bool IsLong(std::string_view vr) {
    for (const std::string_view known :
         {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}) {
      if (vr == known) return true;
    }
    return vr == "QQ";  // a VR that does not exist yet
  }

  Form form_;
  std::string bytes_;
};

// Group 0002 without the group length (PS3.10 7.1). Leaves out the transfer syntax if it is empty.
std::string MetaElements(std::string_view transfer_syntax, std::string_view sop_class = kCtClass,
                         std::string_view sop_instance = "1.2.3.4.5");
std::string Preamble();
std::string MetaHeader(std::string_view transfer_syntax, std::string_view sop_class = kCtClass,
                       std::string_view sop_instance = "1.2.3.4.5");

// Deflates as PS3.5 A.5 requires: RFC 1951 without a header.
std::string Deflated(std::string_view bytes);

}  // namespace dicom_sender
