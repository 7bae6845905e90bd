// Inflates a deflated dataset (PS3.5 A.5) to a file: DCMTK would hold the inflated dataset in memory.
#pragma once

#include <cstdint>
#include <string>
#include <tl/expected.hpp>

#include "dicom/transcode/output_file.h"

namespace dicom_sender {

// Inflates what stands in `fd` from `offset` on. The error names a damaged or truncated stream, or the output's
// problem.
tl::expected<UniqueFd, std::string> InflateToFile(int fd, std::uint64_t offset, OutputFile output);

}  // namespace dicom_sender
