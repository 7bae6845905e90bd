// The output of the transcoder, read by DCMTK.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "dicom/transcode/transcoder.h"
#include "tests/unit/dicom/transcode/test_image.h"

class DcmDataset;
class DcmItem;

namespace dicom_sender {

struct Result {
  Bytes bytes;  // as encoded
  std::shared_ptr<DcmDataset> dataset;

  Bytes pixels() const;                                                // little endian, without padding
  std::string text(std::uint16_t group, std::uint16_t element) const;  // empty if it is missing
};

// Returns the native pixels that `item` describes in little endian. Empty if there are none.
Bytes NativePixels(DcmItem& item);
std::string TextOf(DcmItem& item, std::uint16_t group, std::uint16_t element);

tl::expected<Result, std::string> TranscodeAndRead(const std::filesystem::path& path,
                                                   std::string_view target = kExplicit,
                                                   const TranscodeOptions& options = {});
// Does the same with the bytes of a file.
tl::expected<Result, std::string> TranscodeBytes(const Bytes& file, std::string_view target = kExplicit,
                                                 const TranscodeOptions& options = {});

}  // namespace dicom_sender
