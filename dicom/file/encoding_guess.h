// Tells from an element how its dataset is encoded, without a dictionary. Internal to the readers of datasets.
#pragma once

#include <cstdint>
#include <tl/expected.hpp>

#include "dicom/file/byte_reader.h"
#include "dicom/file/file_header.h"
#include "dicom/transfer_syntax.h"

namespace dicom_sender {

// What the next element looks like. Groups of first elements are small numbers, so the order of bytes that makes the
// smaller one is right; and a VR is a VR. No dictionary is asked.
struct Guess {
  Encoding encoding;
  std::uint16_t group = 0;
  bool fits = false;  // the value ends within the file
  bool sure = false;  // no other reading makes sense
};

tl::expected<Guess, HeaderError> GuessEncoding(FileReader& reader);

}  // namespace dicom_sender
