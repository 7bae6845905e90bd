// JPEG and JPEG-LS by DCMTK's codecs.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "dicom/transcode/image_format.h"

namespace dicom_sender {

// Whether `syntax` is one of JPEG's or JPEG-LS's.
bool IsJpegSyntax(std::string_view syntax);

// Registers DCMTK's decoders, once. DCMTK's list of codecs is global.
void RegisterJpegCodecs();

// `stream` is the whole compressed frame. Its header is compared with `declared` before DCMTK sees it.
FrameResult DecodeJpegFrame(std::span<const std::uint8_t> stream, const ImageFormat& declared,
                            std::string_view syntax);

}  // namespace dicom_sender
