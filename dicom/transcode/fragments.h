// Assigns the fragments of encapsulated pixel data to frames (PS3.5 A.4).
#pragma once

#include <cstdint>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "dicom/transcode/image_format.h"

class DcmPixelItem;
class DcmPixelSequence;

namespace dicom_sender {

// How the beginning of a compressed frame can be recognized.
enum class FrameStart { kUnknown, kJpeg, kJpeg2000 };

class FrameFragments {
 public:
  // Assigns fragments to frames if each frame has one fragment, if there is only one frame, by the Basic Offset
  // Table, or by the first bytes of the frames. The error says why that is impossible. `sequence` must outlive the
  // object.
  static tl::expected<FrameFragments, std::string> Find(DcmPixelSequence& sequence, std::uint32_t frames,
                                                        FrameStart start);

  // Reads the whole compressed frame from the file. A frame larger than `bytes_max` is an error.
  tl::expected<std::vector<std::uint8_t>, std::string> Read(std::uint32_t frame, std::uint64_t bytes_max) const;

 private:
  std::vector<DcmPixelItem*> fragments_;
  std::vector<std::size_t> first_;  // the first fragment of each frame; then the number of fragments
};

}  // namespace dicom_sender
