// Raises the limit of open files (including sockets) of this process.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace dicom_sender {

// Raises the soft limit to the hard limit. The error says that this is less than `needed`, and what to do; `advice`,
// if not empty, is an alternative ("give fewer --threads").
tl::expected<void, std::string> AllowOpenFiles(unsigned needed, std::string_view advice = {});

}  // namespace dicom_sender
