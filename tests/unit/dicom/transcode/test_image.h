// DICOM files made byte by byte, with no DICOM library: what the transcoder reads is not what it would write itself.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dicom_sender {

using Bytes = std::vector<std::uint8_t>;

inline constexpr std::string_view kImplicit = "1.2.840.10008.1.2";
inline constexpr std::string_view kExplicit = "1.2.840.10008.1.2.1";
inline constexpr std::string_view kDeflated = "1.2.840.10008.1.2.1.99";
inline constexpr std::string_view kBigEndian = "1.2.840.10008.1.2.2";
inline constexpr std::string_view kJpegBaseline = "1.2.840.10008.1.2.4.50";
inline constexpr std::string_view kJpegLossless = "1.2.840.10008.1.2.4.70";
inline constexpr std::string_view kJpegLsLossless = "1.2.840.10008.1.2.4.80";
inline constexpr std::string_view kJpegLsLossy = "1.2.840.10008.1.2.4.81";
inline constexpr std::string_view kJpeg2000Lossless = "1.2.840.10008.1.2.4.90";
inline constexpr std::string_view kJpeg2000Any = "1.2.840.10008.1.2.4.91";
inline constexpr std::string_view kRleLossless = "1.2.840.10008.1.2.5";

inline constexpr std::string_view kSopInstance = "1.2.826.0.1.3680043.10.1.1";

// An image of the Image Pixel module. `pixels` is what is decoded: native, little endian.
struct TestImage {
  int rows = 13, columns = 17, samples = 1, frames = 1;
  int bits_allocated = 8, bits_stored = 8;
  bool is_signed = false;
  bool color_by_plane = false;
  std::string photometric = "MONOCHROME2";
  Bytes pixels = {};

  std::size_t frame_bytes() const { return static_cast<std::size_t>(rows * columns * samples * bits_allocated / 8); }
};

// Smooth with some noise, all bits stored in use, each frame different.
TestImage MakeImage(TestImage shape);

// Explicit VR Little Endian elements, in the order in which they are added.
class ElementWriter {
 public:
  ElementWriter& Text(std::uint16_t group, std::uint16_t element, std::string_view vr, std::string_view value);
  ElementWriter& Number(std::uint16_t group, std::uint16_t element, int value);
  ElementWriter& Long(std::uint16_t group, std::uint16_t element, std::string_view vr,
                      std::span<const std::uint8_t> value);
  // A sequence of one item.
  ElementWriter& Sequence(std::uint16_t group, std::uint16_t element, const Bytes& item);
  // Encapsulated pixel data. `offset_table` is the value of the first item.
  ElementWriter& Encapsulated(const std::vector<Bytes>& fragments, const Bytes& offset_table = {});
  ElementWriter& ImagePixelModule(const TestImage& image);
  const Bytes& bytes() const { return bytes_; }

 private:
  void Header(std::uint16_t group, std::uint16_t element, std::string_view vr);
  void Add32(std::size_t value);
  Bytes bytes_;
};

// SOP class and instance, the Image Pixel module, and what must come out unchanged.
ElementWriter StandardElements(const TestImage& image);

Bytes File(std::string_view syntax, const Bytes& dataset);
Bytes NativeDataset(const TestImage& image);
Bytes NativeFile(const TestImage& image);
Bytes EncapsulatedFile(const TestImage& image, std::string_view syntax, const std::vector<Bytes>& fragments,
                       const Bytes& offset_table = {});

// 32 bits little endian each.
Bytes OffsetTable(const std::vector<std::uint32_t>& offsets);

void WriteBytes(const std::filesystem::path& path, const Bytes& bytes);
Bytes ReadBytes(const std::filesystem::path& path);

}  // namespace dicom_sender
