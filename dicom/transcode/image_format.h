// How the samples of an image are laid out, as the dataset declares it, and what a decoder made of one frame.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <tl/expected.hpp>
#include <vector>

class DcmItem;

namespace dicom_sender {

// The Image Pixel module, PS3.3 C.7.6.3. Ranges are those that `ReadImageFormat` lets pass.
struct ImageFormat {
  std::uint16_t rows = 0;               // 1..65535
  std::uint16_t columns = 0;            // 1..65535
  std::uint16_t samples_per_pixel = 1;  // 1 or 3
  std::uint16_t bits_allocated = 0;     // 8, 16 or 32
  std::uint16_t bits_stored = 0;        // 1..bits_allocated
  std::uint16_t high_bit = 0;           // below bits_allocated
  bool is_signed = false;
  bool color_by_plane = false;
  std::string photometric;  // Photometric Interpretation
  std::uint32_t frames = 1;

  std::uint64_t samples() const { return std::uint64_t{rows} * columns * samples_per_pixel; }
  std::uint64_t frame_bytes() const { return samples() * (bits_allocated / 8u); }
  // Declared so; of the decoders here only that of JPEG brings chrominance to full size (PS3.3 C.7.6.3.1.2).
  bool is_subsampled() const { return photometric == "YBR_FULL_422" || photometric == "YBR_PARTIAL_422"; }

  friend bool operator==(const ImageFormat&, const ImageFormat&) = default;
};

struct DecodedFrame {
  std::vector<std::uint8_t> bytes;  // format.frame_bytes() of them; samples are little endian
  ImageFormat format;               // of the decoded frame: the declared one, with what decoding changed
  bool lossy = false;               // the frame went through a lossy process
};

using FrameResult = tl::expected<DecodedFrame, std::string>;

// The declared format with what a stream of `precision` bits makes of it. Samples get no less room than the dataset
// allocates, and no less than they need; Bits Stored is never more than the stream has.
ImageFormat WithPrecision(ImageFormat declared, unsigned precision);

// Refuses what no decoder here can produce, before anything is allocated for it.
tl::expected<ImageFormat, std::string> ReadImageFormat(DcmItem& item);

// Makes the attributes of `item` say what `format` says; touches those only that differ from `declared`.
void WriteImageFormat(DcmItem& item, const ImageFormat& declared, const ImageFormat& format);

}  // namespace dicom_sender
