// Opens the file of an instance, and checks that it is unchanged since the scan.
#pragma once

#include <cstdint>
#include <string>
#include <tl/expected.hpp>

#include "common/unique_fd.h"
#include "work.pb.h"

namespace dicom_sender {

struct SourceFile {
  UniqueFd fd;
  std::string transfer_syntax_uid;
  std::uint64_t dataset_offset = 0;
  std::uint64_t dataset_bytes = 0;  // at least 1
};

struct SourceProblem {
  std::string reason;  // one sentence, without the file's path
  // The problem may affect other files, or may be temporary: the folder is missing or empty, an I/O error occurred,
  // or permission is denied.
  bool storage_away = false;
};

// If size or mtime differ from the scan, reads the file again: it may have moved on disk, but must still hold the
// same SOP instance. A missing file has vanished if its folder has other files; otherwise the storage is unavailable,
// as when it is not mounted.
tl::expected<SourceFile, SourceProblem> OpenSourceFile(const std::string& path, const wire::Instance& instance);

}  // namespace dicom_sender
