#include "programs/sender/session_files.h"

#include <filesystem>
#include <system_error>

namespace dicom_sender {

SessionFiles FilesOf(const std::string& output_dir, const std::string& session) {
  const std::filesystem::path folder = output_dir;
  return {.log = folder / ("dicom_sender_" + session + ".log"),
          .ledger = folder / ("dicom_sender_" + session + ".db")};
}

void RemoveLedger(const SessionFiles& files) {
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::error_code ignored;  // a leftover file does no harm
    std::filesystem::remove(files.ledger + suffix, ignored);
  }
}

}  // namespace dicom_sender
