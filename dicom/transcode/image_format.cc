#include "dicom/transcode/image_format.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>
#include <fmt/format.h>

#include <algorithm>

#include "dicom/transcode/reason.h"

namespace dicom_sender {
namespace {

// Reads one mandatory attribute; keeps the name of the first that is missing.
class AttributeReader {
 public:
  explicit AttributeReader(DcmItem& item) : item_(item) {}

  std::uint16_t Number(const DcmTagKey& tag, const char* name) {
    Uint16 value = 0;
    if (item_.findAndGetUint16(tag, value).bad() && missing_.empty()) missing_ = name;
    return value;
  }
  std::string Text(const DcmTagKey& tag, const char* name) {
    OFString value;
    if ((item_.findAndGetOFString(tag, value).bad() || value.empty()) && missing_.empty()) missing_ = name;
    return value.c_str();
  }
  const std::string& missing() const { return missing_; }

 private:
  DcmItem& item_;
  std::string missing_;
};

// Only multi-frame objects have Number of Frames. If it is not a positive number, the file is broken.
tl::expected<std::uint32_t, std::string> ReadNumberOfFrames(DcmItem& item) {
  if (!item.tagExistsWithValue(DCM_NumberOfFrames)) return 1;
  Sint32 frames = 0;
  if (item.findAndGetSint32(DCM_NumberOfFrames, frames).bad() || frames < 1) {
    return Reason("the Number of Frames is not a positive number");
  }
  return static_cast<std::uint32_t>(frames);
}

std::string Problem(const ImageFormat& format) {
  if (format.rows == 0 || format.columns == 0) return "the image has no rows or no columns";
  if (format.samples_per_pixel != 1 && format.samples_per_pixel != 3) {
    return fmt::format("images of {} samples per pixel cannot be decoded", format.samples_per_pixel);
  }
  if (format.bits_allocated != 8 && format.bits_allocated != 16 && format.bits_allocated != 32) {
    return fmt::format("compressed images of {} bits allocated cannot be decoded", format.bits_allocated);
  }
  if (format.bits_stored == 0 || format.bits_stored > format.bits_allocated ||
      format.high_bit >= format.bits_allocated) {
    return fmt::format("{} bits stored and the high bit {} do not fit the {} bits allocated", format.bits_stored,
                       format.high_bit, format.bits_allocated);
  }
  return {};
}

}  // namespace

ImageFormat WithPrecision(ImageFormat declared, unsigned precision) {
  const auto bits = static_cast<std::uint16_t>(precision);
  if (bits > declared.bits_allocated) {
    declared.bits_allocated = 16;
    declared.bits_stored = bits;
  }
  declared.bits_stored = std::min(declared.bits_stored, bits);
  if (declared.high_bit >= bits || declared.high_bit + 1 < declared.bits_stored) {
    declared.high_bit = static_cast<std::uint16_t>(declared.bits_stored - 1);
  }
  return declared;
}

tl::expected<ImageFormat, std::string> ReadImageFormat(DcmItem& item) {
  AttributeReader read(item);
  ImageFormat format;
  format.rows = read.Number(DCM_Rows, "Rows");
  format.columns = read.Number(DCM_Columns, "Columns");
  format.samples_per_pixel = read.Number(DCM_SamplesPerPixel, "Samples per Pixel");
  format.bits_allocated = read.Number(DCM_BitsAllocated, "Bits Allocated");
  format.bits_stored = read.Number(DCM_BitsStored, "Bits Stored");
  format.high_bit = read.Number(DCM_HighBit, "High Bit");
  format.is_signed = read.Number(DCM_PixelRepresentation, "Pixel Representation") == 1;
  format.photometric = read.Text(DCM_PhotometricInterpretation, "Photometric Interpretation");
  if (!read.missing().empty()) return Reason(fmt::format("the image has no {}", read.missing()));
  Uint16 planar_configuration = 0;  // missing in many files of one sample, and in some of three
  (void)item.findAndGetUint16(DCM_PlanarConfiguration, planar_configuration);
  format.color_by_plane = format.samples_per_pixel > 1 && planar_configuration == 1;
  if (std::string problem = Problem(format); !problem.empty()) return Reason(std::move(problem));
  const auto frames = ReadNumberOfFrames(item);
  if (!frames) return Reason(frames.error());
  format.frames = *frames;
  return format;
}

void WriteImageFormat(DcmItem& item, const ImageFormat& declared, const ImageFormat& format) {
  const auto put = [&item](const DcmTagKey& tag, std::uint16_t before, std::uint16_t after) {
    if (before != after) (void)item.putAndInsertUint16(tag, after);
  };
  put(DCM_BitsAllocated, declared.bits_allocated, format.bits_allocated);
  put(DCM_BitsStored, declared.bits_stored, format.bits_stored);
  put(DCM_HighBit, declared.high_bit, format.high_bit);
  if (declared.photometric != format.photometric) {
    (void)item.putAndInsertString(DCM_PhotometricInterpretation, format.photometric.c_str());
  }
  // Type 1C: required with three samples (PS3.3 C.7.6.3.1.3), so insert it if it is missing.
  if (format.samples_per_pixel > 1) (void)item.putAndInsertUint16(DCM_PlanarConfiguration, format.color_by_plane);
}

}  // namespace dicom_sender
