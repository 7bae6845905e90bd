// The transfer syntaxes of the standard (PS3.5 annex A, PS3.6 table A-1): how each encodes a dataset, and whether we
// can decode it.
#pragma once

#include <string_view>

namespace dicom_sender {

inline constexpr std::string_view kImplicitVrLittleEndian = "1.2.840.10008.1.2";
inline constexpr std::string_view kExplicitVrLittleEndian = "1.2.840.10008.1.2.1";
inline constexpr std::string_view kExplicitVrBigEndian = "1.2.840.10008.1.2.2";

struct Encoding {
  bool implicit_vr = false;
  bool big_endian = false;

  friend bool operator==(const Encoding&, const Encoding&) = default;
};

inline constexpr Encoding kImplicitLittleEncoding{.implicit_vr = true, .big_endian = false};
inline constexpr Encoding kExplicitLittleEncoding{.implicit_vr = false, .big_endian = false};
inline constexpr Encoding kExplicitBigEncoding{.implicit_vr = false, .big_endian = true};

// What decodes the frames of a file (dicom/transcode/).
enum class Decoder {
  kNone,          // no decoder: such files are sent unchanged or not at all
  kNotNecessary,  // the pixel data is native
  kRle,
  kJpeg,
  kJpegLs,
  kJpeg2000,
};

struct TransferSyntax {
  enum Flag : unsigned {
    kNative = 0,
    kDeflated = 1,      // the dataset is one deflate stream (PS3.5 A.5), padded to an even length as a whole
    kEncapsulated = 2,  // pixel data is a sequence of fragments (PS3.5 A.4)
    kReferenced = 4,    // pixel data is stored elsewhere (JPIP), so it is neither native nor encapsulated
    kLossy = 8,         // every process of the syntax is lossy; in JPEG 2000 (.91), it depends on the stream
    kRetired = 16,
  };

  std::string_view uid;
  Encoding encoding;  // of the dataset, after inflating
  Decoder decoder = Decoder::kNone;
  unsigned flags = kNative;

  constexpr bool deflated() const { return (flags & kDeflated) != 0; }
  constexpr bool encapsulated() const { return (flags & kEncapsulated) != 0; }
  constexpr bool referenced() const { return (flags & kReferenced) != 0; }
  constexpr bool lossy() const { return (flags & kLossy) != 0; }
  constexpr bool retired() const { return (flags & kRetired) != 0; }
  constexpr bool decodable() const { return decoder != Decoder::kNone; }
};

namespace transfer_syntax_table {

using enum TransferSyntax::Flag;
inline constexpr Encoding kImplicitLe = kImplicitLittleEncoding, kExplicitLe = kExplicitLittleEncoding,
                          kExplicitBe = kExplicitBigEncoding;

// Omits syntaxes that files do not have: RFC 2557 (1.2.840.10008.1.2.6.1), XML (.6.2), and SMPTE ST 2110 (.7.*).
inline constexpr TransferSyntax kAll[] = {
    {kImplicitVrLittleEndian, kImplicitLe, Decoder::kNotNecessary, kNative},
    {kExplicitVrLittleEndian, kExplicitLe, Decoder::kNotNecessary, kNative},
    {kExplicitVrBigEndian, kExplicitBe, Decoder::kNotNecessary, kNative | kRetired},
    // Encapsulated Uncompressed Explicit VR Little Endian
    {"1.2.840.10008.1.2.1.98", kExplicitLe, Decoder::kNone, kEncapsulated},
    // Deflated Explicit VR Little Endian
    {"1.2.840.10008.1.2.1.99", kExplicitLe, Decoder::kNotNecessary, kDeflated},
    // JPEG: processes 1; 2 and 4; then by pairs up to 12 and 13; 14 and 15 are lossless
    {"1.2.840.10008.1.2.4.50", kExplicitLe, Decoder::kJpeg, kEncapsulated | kLossy},
    {"1.2.840.10008.1.2.4.51", kExplicitLe, Decoder::kJpeg, kEncapsulated | kLossy},
    {"1.2.840.10008.1.2.4.52", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy | kRetired},
    {"1.2.840.10008.1.2.4.53", kExplicitLe, Decoder::kJpeg, kEncapsulated | kLossy | kRetired},
    {"1.2.840.10008.1.2.4.54", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy | kRetired},
    {"1.2.840.10008.1.2.4.55", kExplicitLe, Decoder::kJpeg, kEncapsulated | kLossy | kRetired},
    {"1.2.840.10008.1.2.4.56", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy | kRetired},
    {"1.2.840.10008.1.2.4.57", kExplicitLe, Decoder::kJpeg, kEncapsulated},
    {"1.2.840.10008.1.2.4.58", kExplicitLe, Decoder::kNone, kEncapsulated | kRetired},
    // JPEG, hierarchical: lossy processes, then two that are lossless
    {"1.2.840.10008.1.2.4.59", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy | kRetired},
    {"1.2.840.10008.1.2.4.60", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy | kRetired},
    {"1.2.840.10008.1.2.4.61", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy | kRetired},
    {"1.2.840.10008.1.2.4.62", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy | kRetired},
    {"1.2.840.10008.1.2.4.63", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy | kRetired},
    {"1.2.840.10008.1.2.4.64", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy | kRetired},
    {"1.2.840.10008.1.2.4.65", kExplicitLe, Decoder::kNone, kEncapsulated | kRetired},
    {"1.2.840.10008.1.2.4.66", kExplicitLe, Decoder::kNone, kEncapsulated | kRetired},
    // JPEG Lossless, First-Order Prediction
    {"1.2.840.10008.1.2.4.70", kExplicitLe, Decoder::kJpeg, kEncapsulated},
    // JPEG-LS: lossless, near-lossless
    {"1.2.840.10008.1.2.4.80", kExplicitLe, Decoder::kJpegLs, kEncapsulated},
    {"1.2.840.10008.1.2.4.81", kExplicitLe, Decoder::kJpegLs, kEncapsulated | kLossy},
    // JPEG 2000: lossless only, any; part 2, multi-component: lossless only, any
    {"1.2.840.10008.1.2.4.90", kExplicitLe, Decoder::kJpeg2000, kEncapsulated},
    {"1.2.840.10008.1.2.4.91", kExplicitLe, Decoder::kJpeg2000, kEncapsulated},
    {"1.2.840.10008.1.2.4.92", kExplicitLe, Decoder::kNone, kEncapsulated},
    {"1.2.840.10008.1.2.4.93", kExplicitLe, Decoder::kNone, kEncapsulated},
    // JPIP Referenced, JPIP Referenced Deflate
    {"1.2.840.10008.1.2.4.94", kExplicitLe, Decoder::kNone, kReferenced},
    {"1.2.840.10008.1.2.4.95", kExplicitLe, Decoder::kNone, kReferenced | kDeflated},
    // MPEG-2, and fragmentable
    {"1.2.840.10008.1.2.4.100", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy},
    {"1.2.840.10008.1.2.4.100.1", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy},
    {"1.2.840.10008.1.2.4.101", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy},
    {"1.2.840.10008.1.2.4.101.1", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy},
    // MPEG-4 AVC/H.264, and fragmentable
    {"1.2.840.10008.1.2.4.102", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy},
    {"1.2.840.10008.1.2.4.102.1", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy},
    {"1.2.840.10008.1.2.4.103", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy},
    {"1.2.840.10008.1.2.4.103.1", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy},
    {"1.2.840.10008.1.2.4.104", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy},
    {"1.2.840.10008.1.2.4.104.1", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy},
    {"1.2.840.10008.1.2.4.105", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy},
    {"1.2.840.10008.1.2.4.105.1", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy},
    {"1.2.840.10008.1.2.4.106", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy},
    {"1.2.840.10008.1.2.4.106.1", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy},
    // HEVC/H.265
    {"1.2.840.10008.1.2.4.107", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy},
    {"1.2.840.10008.1.2.4.108", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy},
    // JPEG XL: lossless, recompressed JPEG, any
    {"1.2.840.10008.1.2.4.110", kExplicitLe, Decoder::kNone, kEncapsulated},
    {"1.2.840.10008.1.2.4.111", kExplicitLe, Decoder::kNone, kEncapsulated | kLossy},
    {"1.2.840.10008.1.2.4.112", kExplicitLe, Decoder::kNone, kEncapsulated},
    // High-Throughput JPEG 2000: lossless only, lossless only with RPCL, any
    {"1.2.840.10008.1.2.4.201", kExplicitLe, Decoder::kNone, kEncapsulated},
    {"1.2.840.10008.1.2.4.202", kExplicitLe, Decoder::kNone, kEncapsulated},
    {"1.2.840.10008.1.2.4.203", kExplicitLe, Decoder::kNone, kEncapsulated},
    // JPIP HTJ2K Referenced, JPIP HTJ2K Referenced Deflate
    {"1.2.840.10008.1.2.4.204", kExplicitLe, Decoder::kNone, kReferenced},
    {"1.2.840.10008.1.2.4.205", kExplicitLe, Decoder::kNone, kReferenced | kDeflated},
    // RLE Lossless
    {"1.2.840.10008.1.2.5", kExplicitLe, Decoder::kRle, kEncapsulated},
    // Deflated Image Frame Compression: the frames are deflated, the dataset is not
    {"1.2.840.10008.1.2.8.1", kExplicitLe, Decoder::kNone, kEncapsulated},
};

}  // namespace transfer_syntax_table

// Null if the standard does not define the transfer syntax, as with Papyrus (1.2.840.10008.1.20) or private ones:
// their encoding is unknown. The standard adds image compressions below 1.2.840.10008.1.2.4, all of one form, so an
// unknown UID below it is a syntax that has encapsulated pixel data and that we cannot decode.
const TransferSyntax* FindTransferSyntax(std::string_view uid);

// All three are false for a syntax that FindTransferSyntax does not know.
bool IsUncompressedSyntax(std::string_view uid);  // native pixel data, and the dataset is not deflated
bool IsDeflatedSyntax(std::string_view uid);
bool CanDecode(std::string_view uid);  // judged by the syntax alone

// The uncompressed syntax that has this encoding, which must not be implicit VR big endian.
std::string_view UncompressedSyntax(Encoding encoding);

}  // namespace dicom_sender
