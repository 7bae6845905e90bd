#include "coordinator/ledger/sqlite/ledger_file_watch.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>

#include "coordinator/ledger/ledger.h"

namespace dicom_sender {

LedgerFileWatch::LedgerFileWatch(const std::string& ledger) {
  for (const std::string& path : {ledger, ledger + "-wal", ledger + "-shm"}) {
    if (const auto id = IdOf(path)) files_.push_back({path, *id});
  }
}

std::optional<LedgerFileWatch::FileId> LedgerFileWatch::IdOf(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return std::nullopt;
  return FileId(status.st_dev, status.st_ino);
}

void LedgerFileWatch::Check() const {
  for (const File& file : files_) {
    const auto id = IdOf(file.path);
    if (id == file.id) continue;
    const bool removed = !id && (errno == ENOENT || errno == ENOTDIR);
    if (!id && !removed) continue;  // if the disk does not respond, the next commit fails
    throw LedgerError(
        fmt::format("ledger '{}': it was {} while in use; put it or a backup of it back, and start again", file.path,
                    removed ? "removed or renamed" : "replaced by another file"));
  }
}

}  // namespace dicom_sender
