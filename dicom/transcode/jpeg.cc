#include "dicom/transcode/jpeg.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dccodec.h>
#include <dcmtk/dcmdata/dcpixseq.h>
#include <dcmtk/dcmdata/dcpxitem.h>
#include <dcmtk/dcmdata/dctk.h>
#include <dcmtk/dcmjpeg/djdecode.h>
#include <dcmtk/dcmjpls/djdecode.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <optional>

#include "dicom/byte_order.h"
#include "dicom/transcode/reason.h"

namespace dicom_sender {
namespace {

struct FrameHeader {
  unsigned precision = 0;
  unsigned rows = 0;
  unsigned columns = 0;
  unsigned components = 0;
};

bool IsFrameMarker(unsigned marker) {  // SOF0..SOF15 without DHT, JPG and DAC (ISO 10918-1 B.1.1.3); SOF55 is JPEG-LS
  return (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC) || marker == 0xF7;
}

// Finds the frame header, which is the first SOF segment. Refuses reserved markers before it: no encoder writes them,
// and one of them, TEM, sends DCMTK 3.6.7 into an endless loop.
std::optional<FrameHeader> FindFrameHeader(std::span<const std::uint8_t> stream) {
  if (stream.size() < 2 || GetU16Big(stream) != 0xFFD8) return std::nullopt;
  std::size_t at = 2;
  while (at + 4 <= stream.size() && stream[at] == 0xFF) {
    const unsigned marker = stream[at + 1];
    if (marker == 0xFF) {  // a fill byte
      ++at;
      continue;
    }
    if (marker < 0xC0) return std::nullopt;
    if (IsFrameMarker(marker)) {
      if (at + 10 > stream.size()) return std::nullopt;
      return FrameHeader{.precision = stream[at + 4],
                         .rows = GetU16Big(stream.subspan(at + 5)),
                         .columns = GetU16Big(stream.subspan(at + 7)),
                         .components = stream[at + 9]};
    }
    at += 2 + GetU16Big(stream.subspan(at + 2));
  }
  return std::nullopt;
}

std::string Contradiction(const FrameHeader& header, const ImageFormat& declared) {
  if (header.rows != declared.rows || header.columns != declared.columns ||
      header.components != declared.samples_per_pixel) {
    return fmt::format("the JPEG stream holds {} x {} pixels of {} components, the dataset declares {} x {} of {}",
                       header.columns, header.rows, header.components, declared.columns, declared.rows,
                       declared.samples_per_pixel);
  }
  if (header.precision < 2 || header.precision > 16) {
    return fmt::format("JPEG streams of {} bits cannot be decoded", header.precision);
  }
  if (declared.bits_allocated > 16) return "JPEG streams of more than 16 bits allocated cannot be decoded";
  return {};
}

// Sets the attributes that DCMTK's codecs need, for one frame whose samples have the fewest bytes that hold
// `precision` bits.
void DescribeFrame(DcmItem& item, const ImageFormat& declared, unsigned precision, bool color_by_plane) {
  const std::uint16_t allocated = precision > 8 ? 16 : 8;
  const auto stored = std::min<std::uint16_t>(declared.bits_stored, static_cast<std::uint16_t>(precision));
  (void)item.putAndInsertUint16(DCM_SamplesPerPixel, declared.samples_per_pixel);
  (void)item.putAndInsertString(DCM_PhotometricInterpretation, declared.photometric.c_str());
  (void)item.putAndInsertUint16(DCM_PlanarConfiguration, color_by_plane);
  (void)item.putAndInsertUint16(DCM_Rows, declared.rows);
  (void)item.putAndInsertUint16(DCM_Columns, declared.columns);
  (void)item.putAndInsertUint16(DCM_BitsAllocated, allocated);
  (void)item.putAndInsertUint16(DCM_BitsStored, stored);
  (void)item.putAndInsertUint16(DCM_HighBit, static_cast<Uint16>(stored - 1));
  (void)item.putAndInsertUint16(DCM_PixelRepresentation, declared.is_signed);
}

// Converts samples of one byte to samples of two, for datasets that allocate 16 bits for a stream of 8 bits or less.
std::vector<std::uint8_t> Widen(const std::vector<std::uint8_t>& narrow, std::size_t samples, unsigned precision,
                                bool is_signed) {
  std::vector<std::uint8_t> wide(2 * samples);
  for (std::size_t i = 0; i < samples; ++i) {
    wide[2 * i] = narrow[i];
    if (is_signed && (narrow[i] >> (precision - 1) & 1)) {
      const int value = narrow[i] - (1 << precision);
      wide[2 * i] = static_cast<std::uint8_t>(value);
      wide[2 * i + 1] = 0xFF;
    }
  }
  return wide;
}

// Runs DCMTK's codec on one frame only, so that a truncated frame cannot continue into the fragments of the next one.
tl::expected<std::string, std::string> RunCodec(std::span<const std::uint8_t> stream, const TransferSyntax& syntax,
                                                DcmItem& description, std::vector<std::uint8_t>& bytes) {
  DcmPixelSequence sequence(DcmTag(DCM_PixelData, EVR_OB));
  OFString photometric;
  auto offset_table = std::make_unique<DcmPixelItem>(DcmTag(DCM_Item, EVR_OB));
  auto fragment = std::make_unique<DcmPixelItem>(DcmTag(DCM_Item, EVR_OB));
  OFCondition done = fragment->putUint8Array(stream.data(), stream.size());
  if (done.good()) done = sequence.insert(offset_table.release());
  if (done.good()) done = sequence.insert(fragment.release());
  Uint32 first_fragment = 1;
  if (done.good()) {
    done = DcmCodecList::decodeFrame(DcmXfer(std::string(syntax.uid).c_str()), nullptr, &sequence, &description, 0,
                                     first_fragment, bytes.data(), static_cast<Uint32>(bytes.size()), photometric);
  }
  if (done.bad()) return Reason(fmt::format("the JPEG stream cannot be decoded: {}", done.text()));
  return std::string(photometric.c_str());
}

}  // namespace

// Converts YCbCr to RGB if the Photometric Interpretation says YBR, as dcmdjpeg and dcmsend do by default. The
// dataset tells what the components are, because DICOM encoders seldom write the markers that would. Every receiver
// can show RGB. The SOP Instance UID is never replaced.
void RegisterJpegCodecs() {
  static std::once_flag registered;
  std::call_once(registered, [] {
    DJDecoderRegistration::registerCodecs(EDC_photometricInterpretation, EUC_never);
    DJLSDecoderRegistration::registerCodecs(EJLSUC_never);
  });
}

FrameResult DecodeJpegFrame(std::span<const std::uint8_t> stream, const ImageFormat& declared,
                            const TransferSyntax& syntax) {
  const std::optional<FrameHeader> header = FindFrameHeader(stream);
  if (!header) return Reason("the JPEG stream has no frame header");
  if (std::string problem = Contradiction(*header, declared); !problem.empty()) {
    return Reason(std::move(problem));
  }
  const bool is_jpeg_ls = syntax.decoder == Decoder::kJpegLs;
  if (is_jpeg_ls && declared.is_subsampled()) {
    return Reason("JPEG-LS cannot hold subsampled color, but the dataset declares it");  // PS3.5 8.2.3
  }
  // JPEG-LS streams may be color-by-plane, and DCMTK converts them to the declared order; JPEG streams are by pixel.
  const bool color_by_plane = is_jpeg_ls && declared.color_by_plane;
  DcmItem description;
  DescribeFrame(description, declared, header->precision, color_by_plane);
  const std::size_t samples = declared.samples();
  DecodedFrame frame{.bytes = std::vector<std::uint8_t>(samples * (header->precision > 8 ? 2 : 1)),
                     .format = WithPrecision(declared, header->precision),
                     .lossy = syntax.lossy()};
  auto photometric = RunCodec(stream, syntax, description, frame.bytes);
  if (!photometric) return Reason(photometric.error());
  frame.format.photometric = std::move(*photometric);
  frame.format.color_by_plane = color_by_plane;
  if (header->precision <= 8 && frame.format.bits_allocated == 16) {
    frame.bytes = Widen(frame.bytes, samples, header->precision, declared.is_signed);
  }
  return frame;
}

}  // namespace dicom_sender
