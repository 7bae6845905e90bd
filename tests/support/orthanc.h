// Orthanc as tests and benchmarks start it: with nothing of its own beside a folder of theirs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace dicom_sender {

// Writes its settings into the folder, which exists, and returns the command; empty: it is not installed. Its AE
// title is TEST_SCP.
std::vector<std::string> OrthancCommand(const std::filesystem::path& folder, std::uint16_t port,
                                        std::uint16_t http_port);

}  // namespace dicom_sender
