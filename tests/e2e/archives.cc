#include "tests/e2e/archives.h"

#include <algorithm>
#include <stdexcept>

#include "tests/support/example_studies.h"

namespace dicom_sender {
namespace {

constexpr std::chrono::seconds kStartTimeout(60);

}  // namespace

// Sets TCP_NODELAY, because otherwise DCMTK waits 40 ms before every answer.
Archive::Archive(const std::vector<std::string>& command, std::uint16_t port, std::filesystem::path folder)
    : process_(command, {"TCP_NODELAY=1"}), port_(port), folder_(std::move(folder)) {
  if (!WaitForPort(port_, kStartTimeout)) {
    throw std::runtime_error(command[0] + " does not listen\n" + process_.Output() + process_.Errors());
  }
}

std::unique_ptr<Archive> StartStorescp(const std::filesystem::path& folder, const std::vector<std::string>& options) {
  std::filesystem::create_directories(folder);
  const std::uint16_t port = FindFreePort();
  std::vector<std::string> command = {"storescp", "-od", folder};
  command.insert(command.end(), options.begin(), options.end());
  command.push_back(std::to_string(port));
  return std::make_unique<Archive>(command, port, folder);
}

std::unique_ptr<Archive> StartDcmqrscp(const std::filesystem::path& folder) {
  const auto storage = folder / "storage";
  const auto config = folder / "dcmqrscp.cfg";
  std::filesystem::create_directories(storage);
  const std::uint16_t port = FindFreePort();
  WriteFile(config, "NetworkTCPPort = " + std::to_string(port) +
                        "\nMaxPDUSize = 16384\nMaxAssociations = 16\n"
                        "HostTable BEGIN\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
                        "AETable BEGIN\nTEST_SCP " +
                        storage.string() + " RW (100, 1024mb) ANY\nAETable END\n");
  return std::make_unique<Archive>(std::vector<std::string>{"dcmqrscp", "-c", config}, port, storage);
}

std::vector<std::filesystem::path> FilesBelow(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace dicom_sender
