// Codestreams encoded by OpenJPEG, for tests.
#pragma once

#include "tests/unit/dicom/transcode/test_image.h"

namespace dicom_sender {

struct Jpeg2000Options {
  int precision = 0;                // 0: bits_stored of the image
  int codestream_signed = -1;       // -1: the same as the image
  bool component_transform = true;  // for three components
  bool irreversible = false;
  bool jp2_file = false;  // adds the boxes around the codestream
};

Bytes EncodeJpeg2000(const TestImage& image, int frame, const Jpeg2000Options& options = {});

}  // namespace dicom_sender
