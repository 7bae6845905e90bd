// The files that a session leaves in the output folder.
#pragma once

#include <string>

namespace dicom_sender {

struct SessionFiles {
  std::string log;
  std::string ledger;
};
SessionFiles FilesOf(const std::string& output_dir, const std::string& session);

// Also removes the files that SQLite keeps beside it.
void RemoveLedger(const SessionFiles& files);

}  // namespace dicom_sender
