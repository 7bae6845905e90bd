// Reads the header of a file with the given bytes.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "dicom/file/file_header.h"

namespace dicom_sender {

tl::expected<FileHeader, HeaderError> ReadBytesAsFile(std::string_view bytes);

const char* Name(HeaderProblem problem);
// Returns "good" or the name of the problem.
std::string Verdict(const tl::expected<FileHeader, HeaderError>& result);

}  // namespace dicom_sender
