// The front of a DICOM file: preamble and File Meta Information (PS3.10 7.1), read tolerantly.
#pragma once

#include <cstdint>
#include <string>
#include <tl/expected.hpp>

#include "dicom/file/byte_reader.h"
#include "dicom/file/file_header.h"

namespace dicom_sender {

inline constexpr std::string_view kMediaStorageDirectory = "1.2.840.10008.1.3.10";

struct MetaHeader {
  std::string transfer_syntax_uid;  // (0002,0010); each of the UIDs is empty if it is missing
  std::string sop_class_uid;        // (0002,0002)
  std::string sop_instance_uid;     // (0002,0003)
  bool has_preamble = false;
  bool has_elements = false;
  std::uint64_t dataset_offset = 0;  // the first byte behind the meta header
};

// Reads from the start of the file up to the dataset. `meta` holds what was found, also if an error is returned. The
// group length is not believed, because it is wrong or missing in many files; a meta header may be missing at all.
tl::expected<void, HeaderError> ReadMetaHeader(FileReader& reader, MetaHeader& meta);

}  // namespace dicom_sender
