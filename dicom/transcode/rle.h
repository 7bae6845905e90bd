// Decodes RLE Lossless (PS3.5 annex G). Does not use DCMTK's decoder, because in 3.6.7 it reads beyond the end of a
// fragment that is shorter than its header.
#pragma once

#include <cstdint>
#include <span>

#include "dicom/transcode/image_format.h"

namespace dicom_sender {

FrameResult DecodeRleFrame(std::span<const std::uint8_t> stream, const ImageFormat& declared);

}  // namespace dicom_sender
