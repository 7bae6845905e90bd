// The file of an instance, opened to be sent, after it was made sure that it is still what the scan saw.
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
  // It is not this file alone, or it may pass: its folder is missing or empty, an I/O error, no permission.
  bool storage_away = false;
};

// A file whose size or mtime is another than at the scan is read again: it may have moved on disk, but it must still
// hold the same SOP Instance. A file that is gone has vanished if there is anything else in its folder; otherwise the
// storage is away, as where it is not mounted.
tl::expected<SourceFile, SourceProblem> OpenSourceFile(const std::string& path, const wire::Instance& instance);

}  // namespace dicom_sender
