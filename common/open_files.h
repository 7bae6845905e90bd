// How many files, sockets among them, this process may have open.
#pragma once

#include <string>
#include <tl/expected.hpp>

namespace dicom_sender {

// Allows as many as the system lets us. The error says that they are fewer than `needed`, and what to do.
tl::expected<void, std::string> AllowOpenFiles(unsigned needed);

}  // namespace dicom_sender
