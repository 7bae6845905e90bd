// Starts Orthanc for tests and benchmarks, with all its data in their folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace dicom_sender {

// Writes its settings into the existing folder and returns the command; empty if it is not installed. Its AE title is
// TEST_SCP.
std::vector<std::string> OrthancCommand(const std::filesystem::path& folder, std::uint16_t port,
                                        std::uint16_t http_port);

}  // namespace dicom_sender
