// The fragments of encapsulated pixel data, told apart into frames (PS3.5 A.4).
#pragma once

#include <cstdint>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "dicom/transcode/image_format.h"

class DcmPixelItem;
class DcmPixelSequence;

namespace dicom_sender {

// How a compressed frame begins, where that can be seen.
enum class FrameStart { kUnknown, kJpeg, kJpeg2000 };

class FrameFragments {
 public:
  // One fragment a frame; or one frame; or the Basic Offset Table tells; or each frame's first bytes do. The error
  // says why the fragments cannot be told apart. `sequence` must outlive the object.
  static tl::expected<FrameFragments, std::string> Find(DcmPixelSequence& sequence, std::uint32_t frames,
                                                        FrameStart start);

  // Reads the whole compressed frame from the file. The error also tells of a frame larger than `bytes_max`.
  tl::expected<std::vector<std::uint8_t>, std::string> Read(std::uint32_t frame, std::uint64_t bytes_max) const;

 private:
  std::vector<DcmPixelItem*> fragments_;
  std::vector<std::size_t> first_;  // of each frame; behind the last one: the number of fragments
};

}  // namespace dicom_sender
