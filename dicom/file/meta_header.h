// Reads the preamble and the File Meta Information of a DICOM file (PS3.10 7.1), and tolerates errors.
#pragma once

#include <cstdint>
#include <string>
#include <tl/expected.hpp>

#include "dicom/file/byte_reader.h"
#include "dicom/file/file_header.h"

namespace dicom_sender {

inline constexpr std::string_view kMediaStorageDirectory = "1.2.840.10008.1.3.10";

struct MetaHeader {
  std::string transfer_syntax_uid;  // (0002,0010); each UID is empty if it is missing
  std::string sop_class_uid;        // (0002,0002)
  std::string sop_instance_uid;     // (0002,0003)
  bool has_preamble = false;
  bool has_elements = false;
  std::uint64_t dataset_offset = 0;  // the first byte after the meta header
};

// Reads from the start of the file up to the dataset. `meta` has what was found, even after an error. Does not rely
// on the group length, because it is wrong or missing in many files. The whole meta header may be missing.
tl::expected<void, HeaderError> ReadMetaHeader(FileReader& reader, MetaHeader& meta);

}  // namespace dicom_sender
