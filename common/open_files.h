// How many files, sockets among them, this process may have open.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace dicom_sender {

// Allows as many as the system lets us. The error says that they are fewer than `needed`, and what to do:
// `advice`, if there is any, is what helps as well ("give fewer --threads").
tl::expected<void, std::string> AllowOpenFiles(unsigned needed, std::string_view advice = {});

}  // namespace dicom_sender
