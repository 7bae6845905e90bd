// The standard's transfer syntaxes (PS3.5 annex A, PS3.6 table A-1) and how they encode a dataset.
#pragma once

#include <string_view>

namespace dicom_sender {

struct Encoding {
  bool implicit_vr = false;
  bool big_endian = false;

  friend bool operator==(const Encoding&, const Encoding&) = default;
};

inline constexpr Encoding kImplicitLittleEncoding{.implicit_vr = true, .big_endian = false};
inline constexpr Encoding kExplicitLittleEncoding{.implicit_vr = false, .big_endian = false};
inline constexpr Encoding kExplicitBigEncoding{.implicit_vr = false, .big_endian = true};

// The three whose pixel data is native and whose dataset is not deflated.
bool IsUncompressedSyntax(std::string_view uid);
// The three whose dataset is a deflate stream (PS3.5 A.5), which is padded to an even length as a whole.
bool IsDeflatedSyntax(std::string_view uid);
// The JPIP syntaxes. Their pixel data is stored elsewhere, so it is neither native nor encapsulated.
bool IsReferencedSyntax(std::string_view uid);
// All of these, and the standard's syntaxes for encapsulated pixel data. Nothing is known of any other syntax, such
// as Papyrus (1.2.840.10008.1.20) or a vendor's own.
bool IsStandardSyntax(std::string_view uid);

// The encoding of a standard syntax; of a deflated one, that of the inflated dataset.
Encoding EncodingOf(std::string_view standard_uid);
// The uncompressed syntax that has this encoding, which must not be implicit VR big endian.
std::string_view UncompressedSyntax(Encoding encoding);

}  // namespace dicom_sender
