#include "dicom/transfer_syntax.h"

#include <algorithm>
#include <array>

namespace dicom_sender {
namespace {

constexpr std::string_view kImplicitLittle = "1.2.840.10008.1.2";
constexpr std::string_view kExplicitLittle = "1.2.840.10008.1.2.1";
constexpr std::string_view kExplicitBig = "1.2.840.10008.1.2.2";
constexpr std::array<std::string_view, 3> kDeflated = {"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95",
                                                       "1.2.840.10008.1.2.4.205"};
constexpr std::array<std::string_view, 4> kReferenced = {"1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.95",
                                                         "1.2.840.10008.1.2.4.204", "1.2.840.10008.1.2.4.205"};
constexpr std::string_view kRle = "1.2.840.10008.1.2.5";
constexpr std::string_view kDeflatedFrames = "1.2.840.10008.1.2.8.1";
// JPEG, JPEG-LS, JPEG 2000, MPEG, HEVC, JPEG XL and HTJ2K. The standard adds syntaxes here, all of one form.
constexpr std::string_view kImageCompressions = "1.2.840.10008.1.2.4.";

template <class Uids>
bool Contains(const Uids& uids, std::string_view uid) {
  return std::find(uids.begin(), uids.end(), uid) != uids.end();
}

}  // namespace

bool IsUncompressedSyntax(std::string_view uid) {
  return uid == kImplicitLittle || uid == kExplicitLittle || uid == kExplicitBig;
}

bool IsDeflatedSyntax(std::string_view uid) { return Contains(kDeflated, uid); }

bool IsReferencedSyntax(std::string_view uid) { return Contains(kReferenced, uid); }

bool IsStandardSyntax(std::string_view uid) {
  return IsUncompressedSyntax(uid) || IsDeflatedSyntax(uid) || uid == kRle || uid == kDeflatedFrames ||
         uid.starts_with(kImageCompressions);
}

Encoding EncodingOf(std::string_view standard_uid) {
  if (standard_uid == kImplicitLittle) return kImplicitLittleEncoding;
  return standard_uid == kExplicitBig ? kExplicitBigEncoding : kExplicitLittleEncoding;
}

std::string_view UncompressedSyntax(Encoding encoding) {
  if (encoding.implicit_vr) return kImplicitLittle;
  return encoding.big_endian ? kExplicitBig : kExplicitLittle;
}

}  // namespace dicom_sender
