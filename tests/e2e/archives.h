// Storage SCPs of other vendors. Each runs as a separate process on a free port of 127.0.0.1 and stores its files in
// a folder of the test. The process ends with the object.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/process.h"

namespace dicom_sender {

class Archive {
 public:
  // Waits until the port answers. Throws std::runtime_error with the program's output if it never does.
  Archive(const std::vector<std::string>& command, std::uint16_t port, std::filesystem::path folder);
  std::uint16_t port() const { return port_; }
  const std::filesystem::path& folder() const { return folder_; }  // the folder in which it stores

 private:
  ChildProcess process_;
  std::uint16_t port_;
  std::filesystem::path folder_;
};

// DCMTK's storescp. The folder is created.
std::unique_ptr<Archive> StartStorescp(const std::filesystem::path& folder, const std::vector<std::string>& options);
// DCMTK's dcmqrscp with the AE title TEST_SCP. It accepts any peer.
std::unique_ptr<Archive> StartDcmqrscp(const std::filesystem::path& folder);

// Lists regular files at any depth, sorted.
std::vector<std::filesystem::path> FilesBelow(const std::filesystem::path& folder);

}  // namespace dicom_sender
