// The layout of an image's samples, as the dataset declares it, and the result of decoding one frame.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <tl/expected.hpp>
#include <vector>

class DcmItem;

namespace dicom_sender {

// The Image Pixel module, PS3.3 C.7.6.3. The ranges are those that `ReadImageFormat` accepts.
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
  // As declared. Of the decoders here, only JPEG's upsamples the chrominance (PS3.3 C.7.6.3.1.2).
  bool is_subsampled() const { return photometric == "YBR_FULL_422" || photometric == "YBR_PARTIAL_422"; }

  friend bool operator==(const ImageFormat&, const ImageFormat&) = default;
};

struct DecodedFrame {
  std::vector<std::uint8_t> bytes;  // format.frame_bytes() of them; samples are little endian
  ImageFormat format;               // the declared format with the changes of decoding
  bool lossy = false;               // the frame went through a lossy process
};

using FrameResult = tl::expected<DecodedFrame, std::string>;

// Adapts the declared format to a stream of `precision` bits. Bits Allocated is never less than the dataset allocates
// or the samples need; Bits Stored is never more than the stream has.
ImageFormat WithPrecision(ImageFormat declared, unsigned precision);

// Refuses formats that no decoder here can produce, before anything is allocated for them.
tl::expected<ImageFormat, std::string> ReadImageFormat(DcmItem& item);

// Writes `format` to the attributes of `item`, but only the values that differ from `declared`.
void WriteImageFormat(DcmItem& item, const ImageFormat& declared, const ImageFormat& format);

}  // namespace dicom_sender
