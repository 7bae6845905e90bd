// Guesses the encoding of a dataset from one element, without a dictionary. Internal to the readers of datasets.
#pragma once

#include <cstdint>
#include <tl/expected.hpp>

#include "dicom/file/byte_reader.h"
#include "dicom/file/file_header.h"
#include "dicom/transfer_syntax.h"

namespace dicom_sender {

// The guess for the next element. The group of a first element is a small number, so the byte order that gives the
// smaller number is right. Two characters that form a VR are taken for a VR.
struct Guess {
  Encoding encoding;
  std::uint16_t group = 0;
  bool fits = false;  // the value ends within the file
  bool sure = false;  // no other encoding makes sense
};

tl::expected<Guess, HeaderError> GuessEncoding(FileReader& reader);

}  // namespace dicom_sender
