// Notices that the file of an open ledger was removed or replaced. SQLite goes on writing to a file that has no name
// any more, and everything that it acknowledges is lost when the program ends.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dicom_sender {

class LedgerFileWatch {
 public:
  // To be made when the ledger has just been opened.
  explicit LedgerFileWatch(const std::string& ledger);
  // Throws LedgerError if the ledger's file, or the log or the index of the log beside it, is not the one that was
  // opened. Costs three stat().
  void Check() const;

 private:
  using FileId = std::pair<dev_t, ino_t>;
  struct File {
    std::string path;
    FileId id;
  };
  // nullopt, and errno is set, if there is none.
  static std::optional<FileId> IdOf(const std::string& path);

  std::vector<File> files_;
};

}  // namespace dicom_sender
