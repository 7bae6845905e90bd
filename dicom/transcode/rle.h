// RLE Lossless, PS3.5 annex G. Not DCMTK's decoder: that of 3.6.7 reads beyond a fragment that is shorter than its
// header.
#pragma once

#include <cstdint>
#include <span>

#include "dicom/transcode/image_format.h"

namespace dicom_sender {

FrameResult DecodeRleFrame(std::span<const std::uint8_t> stream, const ImageFormat& declared);

}  // namespace dicom_sender
