// Decodes JPEG 2000 part 1 with OpenJPEG, because DCMTK cannot.
#pragma once

#include <cstdint>
#include <span>

#include "dicom/transcode/image_format.h"

namespace dicom_sender {

// `stream` is the whole compressed frame: a codestream, or a JP2 file around one (which violates PS3.5 A.4.4 but
// occurs). The result is RGB if the Photometric Interpretation is YBR_RCT or YBR_ICT. The bits of each sample are
// used as they are, and Pixel Representation tells their sign even if the codestream disagrees: encoders copy bits,
// and the dataset's rescale and window attributes were made for them.
FrameResult DecodeJpeg2000Frame(std::span<const std::uint8_t> stream, const ImageFormat& declared);

}  // namespace dicom_sender
