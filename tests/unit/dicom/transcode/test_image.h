// Images and their files, written without a DICOM library, so that the transcoder does not read its own output.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "dicom/byte_order.h"
#include "tests/support/dicom_writer.h"

namespace dicom_sender {

inline constexpr std::string_view kSopInstance = "1.2.826.0.1.3680043.10.1.1";

// An image of the Image Pixel module. `pixels` are the decoded pixels: native, little endian.
struct TestImage {
  int rows = 13, columns = 17, samples = 1, frames = 1;
  int bits_allocated = 8, bits_stored = 8;
  bool is_signed = false;
  bool color_by_plane = false;
  std::string photometric = "MONOCHROME2";
  Bytes pixels = {};

  std::size_t frame_bytes() const { return static_cast<std::size_t>(rows * columns * samples * bits_allocated / 8); }
};

// A smooth image with some noise. It uses all stored bits, and the frames differ.
TestImage MakeImage(TestImage shape);

// Returns the elements of the Image Pixel module without the pixels.
DicomWriter ImagePixelModule(const TestImage& image);
// Returns SOP class and instance, the Image Pixel module, and elements that must not change.
DicomWriter StandardElements(const TestImage& image);

Bytes File(std::string_view syntax, const Bytes& dataset);
Bytes NativeDataset(const TestImage& image);
Bytes NativeFile(const TestImage& image);
Bytes EncapsulatedFile(const TestImage& image, std::string_view syntax, const std::vector<Bytes>& fragments,
                       const Bytes& offset_table = {});

// Returns a Basic Offset Table with 32 bits, little endian, per frame.
Bytes OffsetTable(const std::vector<std::uint32_t>& offsets);

void WriteBytes(const std::filesystem::path& path, const Bytes& bytes);
Bytes ReadBytes(const std::filesystem::path& path);

}  // namespace dicom_sender
