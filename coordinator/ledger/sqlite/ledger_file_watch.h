// Detects that the file of an open ledger was removed or replaced. SQLite would continue to write to the deleted
// file, and everything that it acknowledges would be lost when the program ends.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dicom_sender {

class LedgerFileWatch {
 public:
  // Create it right after the ledger was opened.
  explicit LedgerFileWatch(const std::string& ledger);
  // Throws LedgerError if the ledger's file, its -wal file, or its -shm file is not the one that was opened. Calls
  // stat() three times.
  void Check() const;

 private:
  using FileId = std::pair<dev_t, ino_t>;
  struct File {
    std::string path;
    FileId id;
  };
  // Returns nullopt and sets errno if the file does not exist or cannot be read.
  static std::optional<FileId> IdOf(const std::string& path);

  std::vector<File> files_;
};

}  // namespace dicom_sender
