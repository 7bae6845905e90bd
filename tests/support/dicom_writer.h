// DICOM bytes for tests, written element by element: right ones and wrong ones.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "dicom/file/file_header.h"

namespace dicom_sender {

inline constexpr std::uint32_t kUndefined = 0xFFFFFFFF;
inline constexpr std::string_view kImplicit = "1.2.840.10008.1.2", kExplicit = "1.2.840.10008.1.2.1",
                                  kBigEndian = "1.2.840.10008.1.2.2", kDeflate = "1.2.840.10008.1.2.1.99",
                                  kJpeg = "1.2.840.10008.1.2.4.50", kCtClass = "1.2.840.10008.5.1.4.1.1.2";

class DicomWriter {
 public:
  enum class Form { kImplicitLittle, kExplicitLittle, kExplicitBig };

  explicit DicomWriter(Form form = Form::kExplicitLittle) : form_(form) {}

  // PS3.5 7.1.2 and 7.1.3. The length may be another than the value's.
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
  DicomWriter& Uid(std::uint16_t group, std::uint16_t element, std::string_view uid) {
    std::string padded(uid);
    if (padded.size() % 2 == 1) padded.push_back('\0');
    return Element(group, element, "UI", padded);
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
  operator std::string_view() const { return bytes_; }  // NOLINT: to be used as bytes

 private:
  static bool IsLong(std::string_view vr) {
    for (const std::string_view known :
         {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}) {
      if (vr == known) return true;
    }
    return vr == "QQ";  // one of the future
  }

  Form form_;
  std::string bytes_;
};

// Group 0002 without the group length, PS3.10 7.1. An empty transfer syntax leaves the element out.
std::string MetaElements(std::string_view transfer_syntax, std::string_view sop_class = kCtClass);
std::string Preamble();
std::string MetaHeader(std::string_view transfer_syntax, std::string_view sop_class = kCtClass);

// RFC 1951 without a header, as PS3.5 A.5 wants it.
std::string Deflated(std::string_view bytes);

tl::expected<FileHeader, HeaderError> ReadBytesAsFile(std::string_view bytes);

const char* Name(HeaderProblem problem);
// "good", or the name of the problem.
std::string Verdict(const tl::expected<FileHeader, HeaderError>& result);

}  // namespace dicom_sender
