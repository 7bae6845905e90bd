// Files compressed by DCMTK's encoders.
#pragma once

#include <filesystem>
#include <string_view>

#include "tests/support/temporary_folder.h"
#include "tests/unit/dicom/transcode/test_image.h"

namespace dicom_sender {

// Writes the image to a file with `syntax`, which exists as long as the object. Also supports uncompressed syntaxes
// and deflate.
class Compressed {
 public:
  Compressed(const TestImage& image, std::string_view syntax);
  std::filesystem::path path() const { return folder_ / "compressed.dcm"; }

 private:
  TemporaryFolder folder_;
};

}  // namespace dicom_sender
