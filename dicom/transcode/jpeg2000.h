// JPEG 2000 part 1 by OpenJPEG, which DCMTK lacks.
#pragma once

#include <cstdint>
#include <span>

#include "dicom/transcode/image_format.h"

namespace dicom_sender {

// `stream` is the whole compressed frame: a codestream, or a JP2 file around one (against PS3.5 A.4.4, but seen).
// Colour comes out as RGB where the Photometric Interpretation is YBR_RCT or YBR_ICT. The bits of each sample are
// taken as they are and Pixel Representation says their sign, also where the codestream says another: encoders copy
// bits, and the dataset's rescale and window attributes were made for them.
FrameResult DecodeJpeg2000Frame(std::span<const std::uint8_t> stream, const ImageFormat& declared);

}  // namespace dicom_sender
