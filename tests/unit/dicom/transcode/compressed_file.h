// Files compressed by DCMTK's encoders.
#pragma once

#include <filesystem>
#include <string_view>

#include "tests/support/temporary_folder.h"
#include "tests/unit/dicom/transcode/test_image.h"

namespace dicom_sender {

// The image in a file of `syntax`, which lives as long as the object. Uncompressed syntaxes and deflate as well.
class Compressed {
 public:
  Compressed(const TestImage& image, std::string_view syntax);
  std::filesystem::path path() const { return folder_ / "compressed.dcm"; }

 private:
  TemporaryFolder folder_;
};

}  // namespace dicom_sender
