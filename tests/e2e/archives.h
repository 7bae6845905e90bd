// Storage SCPs that other people wrote, each as a process of its own on a free port of 127.0.0.1, with its files in
// a folder of the test's. They end with the object.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/process.h"

namespace dicom_sender {

class Archive {
 public:
  // Waits until the port answers; throws std::runtime_error with what the program said if it never does.
  Archive(const std::vector<std::string>& command, std::uint16_t port, std::filesystem::path folder);
  std::uint16_t port() const { return port_; }
  const std::filesystem::path& folder() const { return folder_; }  // of what it stores

 private:
  ChildProcess process_;
  std::uint16_t port_;
  std::filesystem::path folder_;
};

// DCMTK's storescp. The folder is created.
std::unique_ptr<Archive> StartStorescp(const std::filesystem::path& folder, const std::vector<std::string>& options);
// DCMTK's dcmqrscp with the AE title TEST_SCP and anybody as a peer.
std::unique_ptr<Archive> StartDcmqrscp(const std::filesystem::path& folder);

// Regular files, at any depth, in their order.
std::vector<std::filesystem::path> FilesBelow(const std::filesystem::path& folder);

}  // namespace dicom_sender
