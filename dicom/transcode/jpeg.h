// Decodes JPEG and JPEG-LS with DCMTK's codecs.
#pragma once

#include <cstdint>
#include <span>

#include "dicom/transcode/image_format.h"
#include "dicom/transfer_syntax.h"

namespace dicom_sender {

// Registers DCMTK's decoders, once. DCMTK's list of codecs is global.
void RegisterJpegCodecs();

// `stream` is the whole compressed frame, in JPEG or JPEG-LS. Its header is compared with `declared` before DCMTK
// sees it.
FrameResult DecodeJpegFrame(std::span<const std::uint8_t> stream, const ImageFormat& declared,
                            const TransferSyntax& syntax);

}  // namespace dicom_sender
