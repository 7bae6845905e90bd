// Inflates a deflated dataset (PS3.5 A.5) to a file, because DCMTK would hold the inflated dataset in memory.
#pragma once

#include <cstdint>
#include <string>
#include <tl/expected.hpp>

#include "dicom/transcode/output_file.h"

namespace dicom_sender {

// Inflates the stream in `fd` that begins at `offset`. The error names a damaged or truncated stream, or a problem
// with the output.
tl::expected<UniqueFd, std::string> InflateToFile(int fd, std::uint64_t offset, OutputFile output);

}  // namespace dicom_sender
