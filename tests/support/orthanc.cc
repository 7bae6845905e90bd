#include "tests/support/orthanc.h"

#include <fmt/format.h>

#include "tests/support/example_studies.h"
#include "tests/support/process.h"

namespace dicom_sender {

std::vector<std::string> OrthancCommand(const std::filesystem::path& folder, std::uint16_t port,
                                        std::uint16_t http_port) {
  const std::string program = FindProgram("Orthanc");
  if (program.empty()) return {};
  const auto settings = folder / "orthanc.json";
  WriteFile(settings, fmt::format(R"({{"Name": "test", "StorageDirectory": "{0}", "IndexDirectory": "{0}",
"HttpPort": {1}, "DicomPort": {2}, "DicomAet": "TEST_SCP", "DicomCheckCalledAet": true, "Plugins": [],
"RemoteAccessAllowed": true, "AuthenticationEnabled": false, "HttpDescribeErrors": true}})",
                                  (folder / "orthanc").string(), http_port, port));
  return {program, settings};
}

}  // namespace dicom_sender
