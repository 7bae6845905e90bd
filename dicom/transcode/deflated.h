// Deflated Explicit VR Little Endian (PS3.5 A.5), inflated to a file: DCMTK would hold the inflated dataset in
// memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <tl/expected.hpp>

#include "dicom/transcode/output_file.h"

namespace dicom_sender {

struct MetaHeader {
  std::string transfer_syntax_uid;   // empty if the meta header has none
  std::uint64_t dataset_offset = 0;  // the first byte after the meta header
};

// Reads the meta header (PS3.10 7.1) without believing its group length, which is wrong in many files. Nothing if
// there is none, or none that can be read: DCMTK guesses then.
std::optional<MetaHeader> ReadMetaHeader(int fd);

// Inflates what stands in `fd` from `offset` on. The error names a damaged or truncated stream, or the output's
// problem.
tl::expected<UniqueFd, std::string> Inflate(int fd, std::uint64_t offset, OutputFile output);

}  // namespace dicom_sender
